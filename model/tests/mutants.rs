//! Each rule of the protocol is needed: without it the model finds how an honest party is convicted, or loses without proof. So the model can fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use scrip_model::{Coalition, Model, Rules};
use stateright::{Checker, HasDiscoveries, Model as _};

const CONVICTED: &str = "nobody honest is convicted";
const UNPROVEN: &str = "nobody honest loses without proof";

const NOBODY: Coalition = Coalition { wallet: false, operator: false, vendor: false };
const VENDOR: Coalition = Coalition { vendor: true, ..NOBODY };
const OPERATOR: Coalition = Coalition { operator: true, ..NOBODY };
const WALLET: Coalition = Coalition { wallet: true, ..NOBODY };

/// Without a rule this coalition gets away with something: `property` has a counterexample.
fn fails(coalition: Coalition, rules: Rules, property: &'static str) {
    let model = Model::small(coalition, rules);
    let checker =
        model.checker().finish_when(HasDiscoveries::AnyOf([property].into())).spawn_bfs().join();
    let found = checker.discovery(property).expect("the model finds how");
    let steps: Vec<_> = found.into_actions().iter().map(|step| format!("  {step:?}")).collect();
    println!("mutant, {property}: {} states\n{}", checker.unique_state_count(), steps.join("\n"));
}

#[test]
fn a_payment_that_passes_for_a_renewal_takes_a_lease_and_proves_nothing() {
    let rules = Rules { labels_apart: false, ..Rules::ALL };
    fails(Coalition { operator: true, vendor: true, ..NOBODY }, rules, UNPROVEN);
}

#[test]
fn a_binding_without_the_key_convicts_an_honest_vendor() {
    let rules = Rules { key_in_binding: false, ..Rules::ALL };
    fails(Coalition { operator: true, wallet: true, ..NOBODY }, rules, CONVICTED);
}

#[test]
fn a_second_signature_convicts_an_honest_vendor_where_bytes_are_compared() {
    let rules = Rules { identity_judged: false, ..Rules::ALL };
    fails(Coalition { operator: true, wallet: true, ..NOBODY }, rules, CONVICTED);
}

#[test]
fn a_refusal_that_is_signed_before_it_is_stored_convicts_an_honest_relay() {
    let rules = Rules { refusal_stored_first: false, ..Rules::ALL };
    fails(NOBODY, rules, CONVICTED);
}

#[test]
fn a_refusal_that_is_forgotten_too_early_convicts_an_honest_relay() {
    let rules = Rules { refusal_kept_for_window: false, ..Rules::ALL };
    fails(NOBODY, rules, CONVICTED);
}

#[test]
fn a_refusal_that_nobody_signed_convicts_an_honest_wallet() {
    let rules = Rules { only_signed_refusals_free: false, ..Rules::ALL };
    fails(OPERATOR, rules, CONVICTED);
}

#[test]
fn a_leaf_without_a_batch_convicts_an_honest_operator() {
    let rules = Rules { batch_demanded: false, ..Rules::ALL };
    fails(Coalition { vendor: true, wallet: true, ..NOBODY }, rules, CONVICTED);
}

#[test]
fn a_renewal_that_was_refused_and_forgotten_convicts_an_honest_vendor() {
    let rules = Rules { renewal_refusal_stored: false, ..Rules::ALL };
    fails(NOBODY, rules, CONVICTED);
}

#[test]
fn a_renewal_that_is_refused_without_a_signature_convicts_an_honest_wallet() {
    let rules = Rules { renewal_refusal_signed: false, ..Rules::ALL };
    fails(VENDOR, rules, CONVICTED);
}

#[test]
fn a_vendor_that_need_not_sign_what_became_of_a_certificate_takes_it() {
    let rules = Rules { renewal_conflict_signed: false, ..Rules::ALL };
    fails(Coalition { operator: true, vendor: true, ..NOBODY }, rules, UNPROVEN);
}

#[test]
fn a_false_refusal_that_nobody_judges_costs_an_operator_its_pay() {
    let rules = Rules { refusals_judged: false, ..Rules::ALL };
    fails(VENDOR, rules, UNPROVEN);
}

#[test]
fn a_winner_that_nobody_looks_for_takes_a_lease_and_proves_nothing() {
    let rules = Rules { winner_checked: false, ..Rules::ALL };
    fails(Coalition { operator: true, vendor: true, ..NOBODY }, rules, UNPROVEN);
}

#[test]
fn a_receipt_key_that_is_replaced_takes_its_receipts_with_it() {
    let rules = Rules { keys_kept: false, ..Rules::ALL };
    fails(VENDOR, rules, UNPROVEN);
}

#[test]
fn a_receipt_key_that_nobody_endorsed_signs_nothing() {
    let rules = Rules { endorsement_demanded: false, ..Rules::ALL };
    fails(VENDOR, rules, UNPROVEN);
}

#[test]
fn a_payment_that_is_sent_before_it_is_recorded_convicts_an_honest_wallet() {
    let rules = Rules { payment_recorded_first: false, ..Rules::ALL };
    fails(NOBODY, rules, CONVICTED);
}

#[test]
fn a_redemption_that_is_answered_before_it_is_recorded_convicts_an_honest_vendor() {
    let rules = Rules { redemption_recorded_first: false, ..Rules::ALL };
    fails(WALLET, rules, CONVICTED);
}

//! Every reachable state, for every coalition of cheats. `SCRIP_MODEL_PAYMENTS` and `SCRIP_MODEL_REQUESTS` set larger bounds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Instant;

use scrip_model::{Coalition, Model, Rules};
use stateright::{Checker, Model as _};

fn bound(name: &str, default: u8) -> u8 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a small number"))
}

/// Checks one coalition, prints how many states there are, and shows the steps to what should not be.
fn check(name: &str, wallet: bool, operator: bool, vendor: bool) {
    let small = Model::small(Coalition { wallet, operator, vendor }, Rules::ALL);
    let model = Model {
        payments: bound("SCRIP_MODEL_PAYMENTS", small.payments),
        requests: bound("SCRIP_MODEL_REQUESTS", small.requests),
        ..small
    };
    let began = Instant::now();
    let checker = model.checker().threads(2).spawn_bfs().join();
    println!(
        "model: {name}: {} states, {} at most steps deep, {:.1} s",
        checker.unique_state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f32()
    );
    checker.assert_properties();
}

#[test]
fn nobody_cheats() {
    check("nobody cheats", false, false, false);
}

#[test]
fn the_vendor_cheats() {
    check("the vendor cheats", false, false, true);
}

#[test]
fn an_operator_cheats() {
    check("an operator cheats", false, true, false);
}

#[test]
fn the_wallet_cheats() {
    check("the wallet cheats", true, false, false);
}

#[test]
fn the_vendor_and_an_operator_cheat() {
    check("the vendor and an operator cheat", false, true, true);
}

#[test]
fn an_operator_and_the_wallet_cheat() {
    check("an operator and the wallet cheat", true, true, false);
}

#[test]
fn the_vendor_and_the_wallet_cheat() {
    check("the vendor and the wallet cheat", true, false, true);
}

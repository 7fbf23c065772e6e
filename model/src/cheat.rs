//! What cheating parties can do besides: send and publish whatever they can sign, with every signature that any of them was shown.

use std::collections::BTreeSet;

use crate::act::{Action, Model};
use crate::document::{Item, Keys, Leaf, Message, Signed, Use, Verdict, Winner};
use crate::honest::renewal;
use crate::judge::Party;
use crate::state::State;

/// What cheating parties can sign without knowing anything is sent before everything else. It arrives when it suits them, or never: that is as good as
/// sending it when it suits them, and whoever is to be convicted has to stand all of it. Where the vendor cheats with the wallet, the second operator is
/// paid nothing: it is as honest as the first, and the same would happen to it.
pub(crate) fn start(model: &Model, state: &mut State) {
    let who = model.coalition;
    if who.wallet {
        let paid = items(model).filter(|item| !(who.vendor && item.operator == 1));
        paid.for_each(|item| state.send(Message::Pay(item, 0)));
        (0..model.requests).for_each(|request| state.send(Message::Renew(request)));
    }
    if who.operator {
        for payment in 0..model.payments {
            state.send(Message::Receipt(1, payment));
            state.send(Message::Refusal(1, payment));
            state.send(Message::Problem(1, payment));
        }
    }
    if who.operator && who.wallet {
        let own = items(model).filter(|item| item.operator == 1);
        own.for_each(|item| state.send(Message::Redeem(item)));
    }
    if who.vendor {
        for request in 0..model.requests {
            state.send(Message::RenewalRefused(request));
            state.send(Message::Renewed(request));
        }
        for keys in [Keys::Endorsed, Keys::Unendorsed, Keys::Replaced] {
            state.send(Message::Manifest(keys));
        }
    }
}

/// What they can do with what they were shown.
pub(crate) fn actions(model: &Model, state: &State, actions: &mut Vec<Action>) {
    let known = known(model, state);
    if model.coalition.operator {
        operator(model, &known, actions);
    }
    if model.coalition.vendor {
        vendor(model, state, &known, actions);
    }
}

/// Every signature of the certificate key that somebody in the coalition has, or can make.
fn known(model: &Model, state: &State) -> BTreeSet<Signed> {
    let who = model.coalition;
    if who.wallet {
        let spends = items(model).map(Item::signed);
        return spends.chain((0..model.requests).map(renewal)).collect();
    }
    let shown = |message: &Message| match *message {
        Message::Pay(item, _) if who.operator && item.operator == 1 => Some(item.signed()),
        Message::Redeem(item) if who.vendor => Some(item.signed()),
        Message::Renew(request) if who.vendor => Some(renewal(request)),
        Message::Outcome(item, Verdict::DoubleSpent(proof, _), ..)
            if who.operator && item.operator == 1 =>
        {
            Some(proof)
        }
        _ => None,
    };
    state.net.iter().filter_map(shown).collect()
}

/// Everything that a cheating wallet can pay with one certificate: two signatures over one binding, one key under two denominations.
fn items(model: &Model) -> impl Iterator<Item = Item> {
    (0..2).flat_map(move |operator| {
        (0..model.payments).flat_map(move |payment| {
            // Beside a vendor that takes everything they show nothing.
            let variants = if payment == 0 && !model.coalition.vendor { 3 } else { 1 };
            let variants = [(0, 0), (0, 1), (1, 0)].into_iter().take(variants);
            variants.map(move |(key, nonce)| Item { operator, payment, key, nonce })
        })
    })
}

fn operator(model: &Model, known: &BTreeSet<Signed>, actions: &mut Vec<Action>) {
    let own = items(model).filter(|item| item.operator == 1);
    let can_redeem = |item: &Item| {
        let signed = item.signed();
        let fits =
            |has: &Signed| has.over.same(signed.over, &model.rules) && has.nonce == signed.nonce;
        known.iter().any(fits)
    };
    let redeemable = own.filter(can_redeem);
    actions.extend(redeemable.map(Action::Cash));
}

fn vendor(model: &Model, state: &State, known: &BTreeSet<Signed>, actions: &mut Vec<Action>) {
    let leaves = 0..=u8::try_from(state.ledger.len()).unwrap_or(u8::MAX);
    let leaf_winners = leaves.clone().map(Winner::Leaf);
    let winners: Vec<Winner> = leaf_winners.chain((0..=state.day + 1).map(Winner::Day)).collect();
    let conflicts = || known.iter().flat_map(|proof| winners.iter().map(|at| (*proof, *at)));
    let mut answer = |message| actions.push(Action::Answer(message));
    for message in &state.net {
        match *message {
            Message::Redeem(item) if model.is_honest(Party::Operator(item.operator)) => {
                let double_spent = conflicts().map(|(proof, at)| Verdict::DoubleSpent(proof, at));
                let verdicts = leaves.clone().map(Verdict::Credited).chain(double_spent);
                for verdict in verdicts.chain([Verdict::Refused]) {
                    answer(Message::Outcome(item, verdict, state.day, 0));
                    answer(Message::Outcome(item, verdict, state.day, 1));
                }
            }
            Message::Renew(request) if !model.coalition.wallet => {
                for (proof, at) in conflicts() {
                    answer(Message::RenewalSpent(request, proof, at, state.day));
                }
            }
            _ => {}
        }
    }
    // A third leaf of one certificate shows nothing that the second does not.
    if state.ledger.len() < 2 {
        let leaves = known.iter().flat_map(|signed| leaves_of(model, *signed));
        actions.extend(leaves.map(Action::Forge));
    }
}

/// The leaves that a signature fits into: where labels do not tell them apart, a payment passes for a renewal.
fn leaves_of(model: &Model, signed: Signed) -> impl Iterator<Item = Leaf> {
    let Signed { over, nonce } = signed;
    let (spend, renewal) = match over {
        Use::Spend { operator, payment, key } => {
            let item = Item { operator, payment, key, nonce };
            (Some(Leaf::Redemption(item)), !model.rules.labels_apart)
        }
        Use::Renewal { .. } => (None, true),
    };
    spend.into_iter().chain(renewal.then_some(Leaf::Renewal(signed)))
}

//! What honest parties do.

use crate::act::{Action, Model};
use crate::document::{
    Day, Document, Item, Keys, Leaf, Message, Operator, Signed, Use, Verdict, Winner,
};
use crate::judge::Party;
use crate::state::{Holding, Recorded, Stage, State};

/// What may happen without anybody lying.
pub(crate) fn actions(model: &Model, state: &State, actions: &mut Vec<Action>) {
    let wallet = &state.wallet;
    let may_use = wallet.holding == Holding::Held && wallet.unrecorded.is_none();
    if may_use && model.is_honest(Party::Wallet) {
        if wallet.payments < model.payments {
            actions.extend([Action::Pay(0), Action::Pay(1)]);
        }
        if wallet.requests < model.requests {
            actions.push(Action::Renew);
        }
    }
    for message in &state.net {
        actions.push(Action::Deliver(*message));
        match *message {
            Message::Pay(item, day) => actions.push(Action::Refuse(item, day)),
            Message::Renew(request) => actions.push(Action::RefuseRenewal(request)),
            _ => {}
        }
    }
    for (operator, relay) in (0..).zip(&state.relays) {
        for (payment, (_, stage)) in &relay.payments {
            match stage {
                Stage::Reserved => actions.push(Action::Serve(operator, *payment)),
                Stage::Served => actions.push(Action::Redeem(operator, *payment)),
                _ => {}
            }
        }
        actions.extend([Action::Save, Action::Crash].map(|of| of(Party::Operator(operator))));
    }
    for party in [Party::Wallet, Party::Vendor] {
        actions.extend([Action::Save(party), Action::Crash(party)]);
    }
}

/// One of them happens.
pub(crate) fn step(model: &Model, state: &mut State, action: Action) {
    match action {
        Action::Pay(operator) => pay(model, state, operator),
        Action::Renew => {
            let request = state.wallet.requests;
            state.wallet.requests += 1;
            state.wallet.holding = Holding::Renewing(request);
            state.send(Message::Renew(request));
        }
        Action::Deliver(message) => deliver(model, state, message),
        Action::Refuse(item, day) if may_take(model, state, item, day) => {
            refuse(model, state, item, day);
        }
        Action::RefuseRenewal(request) => refuse_renewal(model, state, request),
        Action::Serve(operator, payment) => {
            if let Some((_, stage)) = state.relay(operator).payments.get_mut(&payment) {
                *stage = Stage::Served;
                if model.is_honest(Party::Wallet) {
                    state.send(Message::Receipt(operator, payment));
                }
            }
        }
        Action::Redeem(operator, payment) => {
            if let Some((item, _)) = state.relay(operator).payments.get(&payment).copied() {
                state.send(Message::Redeem(item));
                hold(model, state, Party::Operator(operator), Message::Redeem(item));
            }
        }
        Action::Save(party) => save(state, party),
        Action::Crash(party) => crash(state, party),
        Action::Tick => tick(model, state),
        Action::Refuse(..) | Action::Cash(_) | Action::Answer(_) | Action::Forge(_) => {}
    }
}

/// An honest party has the document of a message that it got or sent.
fn hold(model: &Model, state: &mut State, party: Party, message: Message) {
    if let Some(document) = message.document(&model.rules).filter(|_| model.is_honest(party)) {
        state.held.insert(document);
    }
}

fn pay(model: &Model, state: &mut State, operator: Operator) {
    let payment = state.wallet.payments;
    // An operator that was caught is not chosen again.
    if caught(state, operator) {
        return;
    }
    state.wallet.payments += 1;
    match model.rules.payment_recorded_first {
        true => state.wallet.holding = Holding::InFlight(operator, payment),
        false => state.wallet.unrecorded = Some((operator, payment)),
    }
    let day = state.day;
    state.send(Message::Pay(Item { operator, payment, key: 0, nonce: 0 }, day));
}

/// Whether the wallet has seen a payment come back that this operator had refused.
fn caught(state: &State, operator: Operator) -> bool {
    let refused = |over: Use| match over {
        Use::Spend { operator: to, payment, .. } => {
            to == operator && state.held.contains(&Document::Refusal(to, payment))
        }
        Use::Renewal { .. } => false,
    };
    state.wallet.ended.is_some_and(|proof| refused(proof.over))
}

/// A message arrives at whoever it is for. Those who cheat only remember it.
pub(crate) fn deliver(model: &Model, state: &mut State, message: Message) {
    match message {
        Message::Pay(item, day) => take(model, state, item, day),
        Message::Redeem(item) if model.is_honest(Party::Vendor) => redeem(model, state, item),
        Message::Renew(request) if model.is_honest(Party::Vendor) => renew(model, state, request),
        Message::Redeem(_) | Message::Renew(_) => {}
        Message::Outcome(item, verdict, day, key) => {
            hear_outcome(model, state, (item, verdict, day, key));
        }
        Message::Manifest(keys) => (0..2).for_each(|operator| {
            hear_manifest(model, state, operator, keys);
        }),
        _ => wallet_hears(model, state, message),
    }
}

fn wallet_hears(model: &Model, state: &mut State, message: Message) {
    let wallet = &mut state.wallet;
    let holding = match (message, wallet.holding) {
        (Message::Receipt(operator, payment), Holding::InFlight(to, which))
            if (operator, payment) == (to, which) =>
        {
            Holding::Spent(operator, payment)
        }
        (Message::Refusal(operator, payment), Holding::InFlight(to, which))
            if (operator, payment) == (to, which) =>
        {
            Holding::Held
        }
        (Message::Problem(operator, payment), Holding::InFlight(to, which))
            if (operator, payment) == (to, which) && !model.rules.only_signed_refusals_free =>
        {
            Holding::Held
        }
        (Message::Ended(payment, proof), Holding::Spent(0, which))
            if payment == which && wallet.ended.is_none() =>
        {
            wallet.ended = Some(proof);
            wallet.holding
        }
        (Message::Renewed(request), Holding::Renewing(which)) if request == which => {
            Holding::Renewed
        }
        (Message::RenewalRefused(request), Holding::Renewing(which)) if request == which => {
            Holding::Held
        }
        (Message::RenewalSpent(request, proof, ..), Holding::Renewing(which))
            if request == which && proof.over != (Use::Renewal { request }) =>
        {
            Holding::Elsewhere
        }
        _ => return,
    };
    wallet.holding = holding;
    hold(model, state, Party::Wallet, message);
}

/// Whether a payment can be taken or refused now: nothing is known of it yet, and its day is one that is accepted.
fn may_take(model: &Model, state: &mut State, item: Item, day: Day) -> bool {
    let in_time = state.day <= day + 1;
    let relay = state.relay(item.operator);
    let refused = relay.refused.contains_key(&item.payment)
        || relay.unsaved.is_some_and(|(payment, _)| payment == item.payment);
    let honest = model.is_honest(Party::Operator(item.operator));
    honest && in_time && !refused && !relay.payments.contains_key(&item.payment)
}

fn take(model: &Model, state: &mut State, item: Item, day: Day) {
    if !may_take(model, state, item, day) {
        return;
    }
    let relay = state.relay(item.operator);
    if !relay.payments.is_empty() {
        // The certificate paid for something else here: that is refused like everything else.
        return refuse(model, state, item, day);
    }
    relay.payments.insert(item.payment, (item, Stage::Reserved));
}

fn refuse(model: &Model, state: &mut State, item: Item, day: Day) {
    let relay = state.relay(item.operator);
    match model.rules.refusal_stored_first {
        true => drop(relay.refused.insert(item.payment, day)),
        false => relay.unsaved = Some((item.payment, day)),
    }
    state.send(Message::Refusal(item.operator, item.payment));
}

fn redeem(model: &Model, state: &mut State, item: Item) {
    // A batch that comes again gets the bytes that it got before.
    if state.net.iter().any(|sent| matches!(sent, Message::Outcome(of, ..) if *of == item)) {
        return;
    }
    let verdict = match state.vendor.recorded {
        None => {
            let leaf = state.append(Leaf::Redemption(item));
            state.vendor.recorded = Some(Recorded::Spent(item, leaf));
            state.vendor.saved = model.rules.redemption_recorded_first;
            Verdict::Credited(leaf)
        }
        Some(Recorded::Spent(first, leaf)) => {
            match first.signed().over.same(item.signed().over, &model.rules) {
                true => Verdict::Credited(leaf),
                false => Verdict::DoubleSpent(first.signed(), Winner::Leaf(leaf)),
            }
        }
        Some(Recorded::Renewed(request, day)) => {
            Verdict::DoubleSpent(renewal(request), Winner::Day(day))
        }
    };
    let day = state.day;
    state.send(Message::Outcome(item, verdict, day, 0));
}

pub(crate) const fn renewal(request: u8) -> Signed {
    Signed { over: Use::Renewal { request }, nonce: 0 }
}

fn renew(model: &Model, state: &mut State, request: u8) {
    if state.vendor.refused.contains(&request) {
        return state.send(Message::RenewalRefused(request));
    }
    match state.vendor.recorded {
        // The window opens on the second day.
        None if state.day == 0 => refuse_renewal(model, state, request),
        None => {
            state.vendor.recorded = Some(Recorded::Renewed(request, state.day));
            state.vendor.due = true;
            state.send(Message::Renewed(request));
        }
        Some(Recorded::Renewed(recorded, _)) => state.send(Message::Renewed(recorded)),
        Some(Recorded::Spent(item, leaf)) => {
            let (proof, winner) = (item.signed(), Winner::Leaf(leaf));
            let day = state.day;
            let answered =
                |sent: &Message| matches!(sent, Message::RenewalSpent(of, ..) if *of == request);
            if !state.net.iter().any(answered) {
                state.send(Message::RenewalSpent(request, proof, winner, day));
            }
        }
    }
}

fn refuse_renewal(model: &Model, state: &mut State, request: u8) {
    if state.vendor.recorded.is_some() || !model.is_honest(Party::Vendor) {
        return;
    }
    if model.rules.renewal_refusal_stored {
        state.vendor.refused.insert(request);
    }
    state.send(Message::RenewalRefused(request));
}

fn hear_outcome(
    model: &Model,
    state: &mut State,
    (item, verdict, day, key): (Item, Verdict, Day, u8),
) {
    let ledger = state.ledger.clone();
    let relay = state.relay(item.operator);
    let known_key = match relay.keys {
        Keys::First => key == 0,
        Keys::Endorsed | Keys::Unendorsed => true,
        Keys::Replaced => key == 1,
    };
    let Some((own, stage @ Stage::Served)) = relay.payments.get_mut(&item.payment) else { return };
    if *own != item || !known_key {
        return;
    }
    *stage = match verdict {
        Verdict::Credited(leaf) => match ledger.get(usize::from(leaf)) {
            Some(Leaf::Redemption(there)) if there.signed().over == item.signed().over => {
                Stage::Credited
            }
            Some(_) => Stage::Disputed,
            // Above the checkpoint that came with the answer: that is none.
            None => return,
        },
        Verdict::Refused => Stage::Disputed,
        // A claim that does not verify is no answer.
        Verdict::DoubleSpent(proof, winner) if !is_claim(model, item, proof, winner) => return,
        Verdict::DoubleSpent(_, Winner::Leaf(leaf)) if usize::from(leaf) >= ledger.len() => return,
        Verdict::DoubleSpent(proof, _) => Stage::Ended(proof),
    };
    if let (Stage::Ended(proof), 0, false) = (*stage, item.operator, model.coalition.wallet) {
        state.send(Message::Ended(item.payment, proof));
    }
    let message = Message::Outcome(item, verdict, day, key);
    hold(model, state, Party::Operator(item.operator), message);
}

/// Whether the proof is of another use, and of the kind that the winner is.
fn is_claim(model: &Model, item: Item, proof: Signed, winner: Winner) -> bool {
    !proof.over.same(item.signed().over, &model.rules) && fits(model, proof, winner)
}

/// Whether a proof is of the kind that its winner is, as far as the label of its signature tells.
pub(crate) fn fits(model: &Model, proof: Signed, winner: Winner) -> bool {
    let kinds = matches!(
        (proof.over, winner),
        (Use::Spend { .. }, Winner::Leaf(_)) | (Use::Renewal { .. }, Winner::Day(_))
    );
    kinds || !model.rules.labels_apart
}

fn hear_manifest(model: &Model, state: &mut State, operator: Operator, offered: Keys) {
    let relay = state.relay(operator);
    let follows = match offered {
        Keys::First => false,
        Keys::Endorsed => true,
        Keys::Unendorsed => !model.rules.endorsement_demanded,
        Keys::Replaced => !model.rules.keys_kept,
    };
    if follows && relay.keys == Keys::First {
        relay.keys = offered;
    }
}

fn save(state: &mut State, party: Party) {
    match party {
        Party::Wallet => {
            if let Some((operator, payment)) = state.wallet.unrecorded.take() {
                state.wallet.holding = Holding::InFlight(operator, payment);
            }
        }
        Party::Operator(operator) => {
            let relay = state.relay(operator);
            relay.refused.extend(relay.unsaved.take());
        }
        Party::Vendor => state.vendor.saved = true,
        Party::OneOf(_) => {}
    }
}

fn crash(state: &mut State, party: Party) {
    match party {
        Party::Wallet => state.wallet.unrecorded = None,
        Party::Operator(operator) => {
            let relay = state.relay(operator);
            relay.unsaved = None;
            relay.payments.retain(|_, (_, stage)| *stage != Stage::Reserved);
        }
        Party::Vendor => {
            if !std::mem::replace(&mut state.vendor.saved, true) {
                state.vendor.recorded = None;
            }
        }
        Party::OneOf(_) => {}
    }
}

fn tick(model: &Model, state: &mut State) {
    state.day += 1;
    let today = state.day;
    for relay in &mut state.relays {
        // A payment is accepted until the day after its own.
        let kept = |day: Day| model.rules.refusal_kept_for_window && today <= day + 1;
        relay.refused.retain(|_, day| kept(*day));
    }
    if let (true, Some(Recorded::Renewed(request, _))) = (state.vendor.due, state.vendor.recorded) {
        state.append(Leaf::Renewal(renewal(request)));
        state.vendor.due = false;
    }
}

//! What can happen, one step at a time.

use stateright::Property;

use crate::cheat;
use crate::document::{Day, Item, Leaf, Message, Operator, Payment};
use crate::honest;
use crate::judge::{self, Party, convicted};
use crate::rules::{Coalition, Rules};
use crate::state::{Holding, Recorded, Stage, State};

/// The day on which nothing happens any more, and everything that was due is in the ledger.
pub const LAST_DAY: Day = 3;

/// A model: who cheats, by which rules, how far.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// Who cheats.
    pub coalition: Coalition,
    /// The rules in force.
    pub rules: Rules,
    /// How many payments the wallet makes at most.
    pub payments: u8,
    /// How many renewals the wallet asks for at most.
    pub requests: u8,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The wallet pays.
    Pay(Operator),
    /// The wallet asks for a renewal.
    Renew,
    /// A message arrives.
    Deliver(Message),
    /// An operator gets a payment and refuses it, for a reason of its own.
    Refuse(Item, Day),
    /// The vendor gets a renewal and refuses it, for a reason of its own.
    RefuseRenewal(u8),
    /// An operator provides what it was paid for.
    Serve(Operator, Payment),
    /// An operator redeems.
    Redeem(Operator, Payment),
    /// Somebody writes down, after the fact, what it should have written down before. Only in mutants.
    Save(Party),
    /// Somebody crashes and starts again with what is on its disk.
    Crash(Party),
    /// A day ends.
    Tick,
    /// A cheating party redeems what it was paid with.
    Cash(Item),
    /// A cheating vendor gives an answer. It arrives at once: that it could come later changes nothing.
    Answer(Message),
    /// A cheating vendor appends something.
    Forge(Leaf),
}

impl Model {
    /// Small bounds: what is checked at every commit.
    pub const fn small(coalition: Coalition, rules: Rules) -> Self {
        Self { coalition, rules, payments: 2, requests: 1 }
    }

    pub(crate) const fn is_honest(&self, party: Party) -> bool {
        match party {
            Party::Wallet => !self.coalition.wallet,
            Party::Operator(0) => true,
            Party::Operator(_) => !self.coalition.operator,
            Party::Vendor => !self.coalition.vendor,
            // Innocent only if both are.
            Party::OneOf(operator) => {
                self.is_honest(Party::Vendor) && self.is_honest(Party::Operator(operator))
            }
        }
    }
}

impl stateright::Model for Model {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut state = State::start();
        cheat::start(self, &mut state);
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.day == LAST_DAY {
            return;
        }
        honest::actions(self, state, actions);
        cheat::actions(self, state, actions);
        actions.push(Action::Tick);
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Cash(item) => state.send(Message::Redeem(item)),
            Action::Answer(message) => honest::deliver(self, &mut state, message),
            Action::Forge(leaf) => drop(state.append(leaf)),
            _ => honest::step(self, &mut state, action),
        }
        // What changes nothing is no step: most messages that arrive twice.
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(judge::NOBODY_HONEST_IS_CONVICTED, |model: &Self, state: &State| {
                judge::convicted_by_everything(model, state)
                    .into_iter()
                    .all(|party| !model.is_honest(party))
            }),
            Property::always(judge::NO_LOSS_WITHOUT_PROOF, |model: &Self, state: &State| {
                state.day < LAST_DAY
                    || !judge::lost(model, state)
                    || !convicted(model, state, &state.held).is_empty()
            }),
            Property::always(judge::NOTHING_TWICE, |model: &Self, state: &State| {
                !model.is_honest(Party::Vendor) || state.ledger.len() <= 1
            }),
            Property::sometimes("a payment is redeemed", |_, state: &State| {
                let credited = |stage: &(Item, Stage)| stage.1 == Stage::Credited;
                state.relays[0].payments.values().any(credited)
            }),
        ];
        if self.coalition == Coalition::default() {
            properties.push(Property::sometimes(
                "what one operator refused is spent at the other",
                |_, state: &State| {
                    let refused = state.relays[1].refused.keys().next();
                    refused.is_some() && matches!(state.wallet.holding, Holding::Spent(0, _))
                },
            ));
            properties.push(Property::sometimes("a certificate is renewed", |_, state: &State| {
                state.wallet.holding == Holding::Renewed
                    && matches!(state.vendor.recorded, Some(Recorded::Renewed(..)))
            }));
        } else {
            properties.push(Property::sometimes(
                "somebody is convicted",
                |model: &Self, state: &State| {
                    !judge::convicted_by_everything(model, state).is_empty()
                },
            ));
        }
        properties
    }
}

//! A model of the protocol: one certificate, its holder, two operators, the vendor and the ledger, some of whom cheat.
//!
//! [`Model`] is a state machine whose every reachable state is visited by `stateright`. Messages are lost, come twice and come late; honest parties crash; cheating ones
//! sign whatever they can sign. In every state two things must hold: who was honest and lost something holds documents that convict somebody, and nobody
//! who was honest is convicted by any documents there are. [`Rules`] are the rules of the protocol that this rests on; switching one off is a mutant, in which a counterexample must be
//! found.
//!
//! What is modelled and what is not: `docs/model.md`.
#![forbid(unsafe_code)]

mod act;
mod cheat;
mod document;
mod honest;
mod judge;
mod rules;
mod state;

pub use act::{Action, LAST_DAY, Model};
pub use document::{
    Day, Document, Item, Leaf, Message, Operator, Payment, Signed, Use, Verdict, Winner,
};
pub use judge::{Party, convicted};
pub use rules::{Coalition, Rules};
pub use state::{Holding, State};

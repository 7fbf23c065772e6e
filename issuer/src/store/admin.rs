//! The administration: tokens, sessions and the log of what was done.

mod log;
mod sessions;
mod tokens;

pub use self::{
    log::{Act, Action, LogEntry},
    sessions::{NewSession, SessionLimits, SessionRow},
    tokens::{AddedToken, AdminTokenRow},
};

//! The relay from outside, through its router, and what a crash leaves behind.

mod chunks;
mod commands;
mod double_spends;
mod expiry;
mod init;
mod moment;
mod payments;
mod provisioning;
mod queues;
mod restart;
mod store;
mod support;

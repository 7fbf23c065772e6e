//! The wallet against a vendor and relays in this process.

mod agreement;
mod backups;
mod buying;
mod crashes;
mod doctor;
mod files;
mod notices;
mod paying;
mod queues;
mod refused_renewals;
mod renewing;
mod restoring;
mod tending;
mod uploads;

/// An app runs the wallet on a runtime of many threads.
#[test]
fn futures_can_move_between_threads() {
    fn movable<T: Send>(_: impl FnOnce(&'static crate::Wallet) -> T) {}
    movable(|wallet| wallet.buy("code"));
    movable(|wallet| wallet.create_queue(crate::NewQueue::default()));
    movable(|wallet| wallet.put_file("file".as_ref(), crate::PutOptions::default()));
    movable(|wallet| wallet.extend("lease", 1, crate::Doubtful::Keep, false, crate::When::InTime));
    movable(|wallet| wallet.check_leases(None));
    movable(|wallet| wallet.restore(1));
    movable(|wallet| wallet.renew(crate::Doubtful::Keep));
    movable(|wallet| wallet.tend());
    movable(|wallet| wallet.resume(crate::Doubtful::Keep));
    fn fetch(
        link: &'static crate::link::FileLink,
        options: &'static crate::FetchOptions,
        network: &'static crate::net::Network,
        environment: &'static crate::Environment,
    ) -> impl Send {
        crate::fetch_file(link, options, network, environment)
    }
    let _ = fetch;
}

//! An honest vendor's first months: sales, redemptions by two operators, renewals, statements, a new contract, the end of an epoch.

use scrip_protocol::{
    ledger::{Leaf, TallyKind},
    manifest::{KeyUse, Windows},
    time::{Day, UnixSeconds},
};

use super::{EpochPlan, Forger};

/// The first day of the first epoch.
pub const FIRST_DAY: u32 = 20_000;
/// The epoch that is redeemed, renewed and written off.
pub const EPOCH: u32 = 1;
/// Its test keys.
pub const TEST_EPOCH: u32 = 2;
/// The epoch after it.
pub const NEXT_EPOCH: u32 = 3;

/// Windows that begin on this day: 30 days of issuing, 30 more of spending, the last 20 of them of renewing, and 8 more of redeeming.
pub fn windows(from: u32) -> Windows {
    let at = |day: u32| -> UnixSeconds { Day(from + day).start() };
    Windows {
        issue_from: at(0),
        issue_until: at(30),
        renew_from: at(40),
        spend_until: at(60),
        redeem_until: at(68),
    }
}

/// Which test key signs certificates of this epoch and exponent.
pub(super) fn key_number(epoch: u32, exponent: u8) -> usize {
    match (epoch, exponent) {
        (EPOCH, 0) => 0,
        (EPOCH, _) => 1,
        (TEST_EPOCH, _) => 2,
        (NEXT_EPOCH, 0) => 3,
        (NEXT_EPOCH, _) => 4,
        _ => 5,
    }
}

/// The epochs of the first manifest.
fn first_epochs() -> Vec<EpochPlan<'static>> {
    vec![
        (EPOCH, KeyUse::Production, windows(FIRST_DAY), &[(0, 0), (3, 1)]),
        (TEST_EPOCH, KeyUse::Test, windows(FIRST_DAY), &[(0, 2)]),
    ]
}

impl Forger {
    /// A vendor with a manifest, two contracts, and certificates that were sold.
    pub fn opened() -> Self {
        let mut forger = Self::new();
        let version = forger.sign_manifest(&first_epochs());
        let manifest = forger.manifest_leaf(version);
        let contracts =
            [forger.contract(0, 1, FIRST_DAY, 2_000), forger.contract(1, 1, FIRST_DAY, 3_000)];
        let [first, second] = contracts;
        forger.round(vec![manifest, first, second]);
        forger.sell(FIRST_DAY + 1);
        forger
    }

    /// A round in which certificates of the first epochs are sold.
    fn sell(&mut self, day: u32) {
        let sales = [
            self.sales(day, None, false, 700),
            self.sales(day, Some(1), false, 350),
            self.sales(day, None, true, 60),
        ];
        let mut round = sales.to_vec();
        round.push(self.tally(TallyKind::Sold, day, None, EPOCH, &[(0, 250), (3, 100)]));
        round.push(self.tally(TallyKind::Sold, day, None, TEST_EPOCH, &[(0, 60)]));
        self.round(round);
    }

    /// A second manifest, with the next epoch.
    pub fn next_epoch(&mut self) {
        let mut epochs = first_epochs();
        epochs.push((NEXT_EPOCH, KeyUse::Production, windows(FIRST_DAY + 30), &[(0, 3), (3, 4)]));
        let version = self.sign_manifest(&epochs);
        let leaf = self.manifest_leaf(version);
        self.round(vec![leaf]);
    }

    /// A round with what was reissued on a day, and one after it with the renewals of that day.
    pub fn renew(&mut self, day: u32, n: u64) {
        let reissued = self.tally(TallyKind::Reissued, day, None, NEXT_EPOCH, &[(3, n)]);
        self.round(vec![reissued]);
        let mut renewals: Vec<_> = (0..n)
            .map(|_| {
                let certificate = self.certificate(EPOCH, 3);
                self.renewal(&certificate, day)
            })
            .collect();
        renewals.sort_by_key(|renewal| renewal.token.nonce);
        let mut round: Vec<Leaf> =
            renewals.into_iter().map(|renewal| Leaf::Renewal(Box::new(renewal))).collect();
        round.push(self.tally(TallyKind::Renewed, day, None, EPOCH, &[(3, n)]));
        self.round(round);
    }

    /// The whole of it: some six hundred leaves.
    pub fn honest() -> Self {
        let mut forger = Self::opened();
        let day = FIRST_DAY;
        forger.redeem(0, day + 5, EPOCH, &[(0, 60), (3, 20)]);
        forger.redeem(1, day + 6, EPOCH, &[(0, 50)]);
        forger.redeem(1, day + 7, TEST_EPOCH, &[(0, 12)]);
        forger.settle(0, day + 8);
        forger.redeem(0, day + 9, EPOCH, &[(0, 30), (3, 9)]);
        let better = forger.contract(0, 2, day + 10, 2_500);
        forger.round(vec![better]);
        forger.redeem(0, day + 11, EPOCH, &[(0, 40)]);
        forger.settle(0, day + 12);
        forger.settle(1, day + 12);
        forger.next_epoch();
        forger.renew(day + 45, 15);
        let late = forger.sales(day + 46, None, false, 400);
        let sold = forger.tally(TallyKind::Sold, day + 46, None, NEXT_EPOCH, &[(0, 40), (3, 40)]);
        forger.round(vec![late, sold]);
        forger.redeem(1, day + 50, NEXT_EPOCH, &[(0, 25), (3, 5)]);
        forger.redeem(0, day + 52, EPOCH, &[(3, 6)]);
        let expired = forger.tally(TallyKind::Expired, day + 69, None, EPOCH, &[(0, 70), (3, 50)]);
        forger.round(vec![expired]);
        forger.settle(1, day + 70);
        forger
    }
}

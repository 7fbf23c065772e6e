//! Vendors that cheat with their books, each found and named; and what a dispute file is worth to a third party.

mod refusals;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use scrip_protocol::{
    address::VendorAddress,
    credits::Credits,
    id::{BatchId, OperatorId},
    keys::SigningKey,
    ledger::{
        Adjustment, BatchReceipt, Contract, Leaf, LedgerQuery, Sales, SourceName, Statement,
        export::StatementReport, settlement::Account,
    },
    manifest::ReceiptKeys,
    problem::ProblemType,
    redemption::RedemptionBatch,
    time::Day,
    tlog::{policy::WitnessPolicy, tile::TilePath},
};
use scrip_verifier::{
    link::NoAnswer,
    testing::{NOW, TEST_EPOCH, TestVendor, operator_key},
};

use super::{
    Known,
    compare::{Checked, Comparison},
    dispute::{Claim, Dispute, Judgement, Verdict, VerifyError, verify},
    fetch::{self, FetchError, LedgerLink},
    keys::VendorKeys,
};

/// A vendor, what the operator redeemed there, and the operator's receipts.
struct World {
    vendor: TestVendor,
    keys: VendorKeys,
    operator: Arc<SigningKey>,
    receipts: Vec<BatchReceipt>,
    rng: ChaCha20Rng,
}

impl LedgerLink for World {
    fn checkpoint<'a>(&'a self, _: &'a VendorAddress) -> BoxFuture<'a, Result<Bytes, NoAnswer>> {
        Box::pin(async { Ok(self.vendor.checkpoint().into()) })
    }

    fn tile<'a>(
        &'a self,
        _: &'a VendorAddress,
        path: TilePath,
    ) -> BoxFuture<'a, Result<Bytes, NoAnswer>> {
        let problem = Some(ProblemType::NotFound);
        let gone = NoAnswer::Status { status: 404, problem };
        Box::pin(async move { self.vendor.ledger().tile(&path).map(Into::into).ok_or(gone) })
    }

    fn own<'a>(
        &'a self,
        _: &'a VendorAddress,
        query: Vec<u8>,
    ) -> BoxFuture<'a, Result<Bytes, NoAnswer>> {
        let query = scrip_protocol::ledger::SignedLedgerQuery::decode(&query).unwrap();
        let query = query.verify(&self.operator.public()).unwrap();
        let own = self.vendor.ledger().own(&query.operator_id, query.from);
        Box::pin(async move { Ok(own.encode().into()) })
    }
}

impl World {
    fn new() -> Self {
        let vendor = TestVendor::new(0);
        let keys = VendorKeys::new(vec![vendor.manifest()]).unwrap();
        let rng = ChaCha20Rng::seed_from_u64(5);
        Self { vendor, keys, operator: operator_key(), receipts: Vec::new(), rng }
    }

    fn operator_id(&self) -> OperatorId {
        OperatorId::of(&self.operator.public())
    }

    fn append(&self, leaf: &Leaf) -> u64 {
        self.vendor.ledger().append(leaf)
    }

    fn contract(&self, number: u32, price: u64) -> Contract {
        Contract {
            operator_key: self.operator.public(),
            number,
            day: NOW.day(),
            currency: "EUR".parse().unwrap(),
            price,
            share: 7_000,
            resale_price: 1_500,
            salt: [1; 32],
        }
    }

    fn resell(&self, credits: u64) -> u64 {
        self.append(&Leaf::Sales(Sales {
            day: NOW.day(),
            source: SourceName::new("voucher").unwrap(),
            test: false,
            operator_id: Some(self.operator_id()),
            purchases: 1,
            credits: Credits(credits),
            salt: [2; 32],
        }))
    }

    /// Redeems new certificates of these denominations in one batch.
    fn redeem(&mut self, epoch: u32, exponents: &[u8]) {
        let mut items = Vec::new();
        for exponent in exponents {
            let certificate = self.vendor.issue_in(epoch, *exponent);
            let request = [*exponent];
            let paid =
                self.vendor.pay([&certificate], &self.operator_id(), &request, &mut self.rng);
            items.extend(paid.payment.evidence(&request).into_iter().map(|one| one.item));
        }
        let batch = RedemptionBatch {
            vendor_id: self.vendor.id(),
            operator_id: self.operator_id(),
            batch_id: BatchId::from_bytes([self.receipts.len() as u8; 16]),
            items,
        };
        let batch = batch.sign(&self.operator);
        let outcome = self.vendor.redeem(&batch, &self.operator.public()).unwrap();
        self.receipts.push(BatchReceipt { batch, outcome });
    }

    /// The account as the ledger has it, cheating aside.
    fn account(&self) -> Account {
        let mut account = Account::new(self.vendor.id(), self.operator_id());
        let ledger = self.vendor.ledger();
        let mut from = 0;
        while from < ledger.size() {
            let own = ledger.own(&self.operator_id(), from);
            for leaf in own.leaves {
                let parsed = Leaf::decode(&leaf.leaf).unwrap();
                let _ = account.add(leaf.index, &parsed, &self.keys).unwrap();
            }
            from = own.next;
        }
        account
    }

    /// A statement over everything so far, as `lie` changes it.
    fn state(&self, adjustments: Vec<Adjustment>, lie: impl FnOnce(&mut Statement)) {
        let until = self.vendor.ledger().size();
        let statement =
            self.account().next_statement(NOW.day(), until, adjustments, |_| [0; 32]).unwrap();
        let mut statement = statement.expect("something to say");
        lie(&mut statement);
        let signed = statement.sign(self.vendor.receipt_key()).unwrap();
        self.append(&Leaf::Statement(signed));
    }

    /// A contract, redemptions of production and test keys, something resold, and the terms changed once.
    fn in_business() -> Self {
        let mut world = Self::new();
        world.append(&Leaf::Cover([0; 32]));
        world.append(&Leaf::Contract(world.contract(1, 2_000)));
        world.redeem(1, &[3, 3, 2]);
        world.append(&Leaf::Cover([1; 32]));
        world.resell(10);
        world.redeem(TEST_EPOCH, &[3]);
        world.append(&Leaf::Contract(world.contract(2, 1_000)));
        world.redeem(1, &[3, 0]);
        world
    }

    async fn try_check(&self) -> Result<Checked, FetchError> {
        let (address, policy) = (self.vendor.address(), WitnessPolicy::none());
        let known = Known {
            address: &address,
            keys: &self.keys,
            operator_key: self.operator.public(),
            policy: &policy,
        };
        let (vendor_id, operator_id) = (self.vendor.id(), self.operator_id());
        let query =
            |from| LedgerQuery { vendor_id, operator_id, time: NOW, from }.sign(&self.operator);
        let newest = fetch::checkpoint(self, &known).await?;
        let own = fetch::own_leaves(self, &known, newest.checkpoint().size, query).await?;
        let mut comparison = Comparison::new(&self.keys, known.operator_key, newest, own);
        self.receipts.iter().for_each(|receipt| comparison.add_receipt(receipt.clone(), false));
        let tiles = fetch::tiles(self, &known, comparison.tiles()).await?;
        Ok(comparison.finish(&tiles))
    }

    async fn check(&self) -> Checked {
        self.try_check().await.unwrap()
    }

    fn judge(&self, checked: &Checked) -> Vec<Judgement> {
        verify(Dispute::of(checked).to_json().as_bytes(), &self.vendor.id()).unwrap()
    }
}

/// The one judgement whose claim has these words.
#[track_caller]
fn about<'j>(judgements: &'j [Judgement], words: &str) -> &'j Judgement {
    let mut found = judgements.iter().filter(|one| one.claim.contains(words));
    let one = found.next().unwrap_or_else(|| panic!("nothing of {words:?}: {judgements:#?}"));
    assert!(found.next().is_none(), "{judgements:#?}");
    one
}

#[tokio::test]
async fn honest_books_agree_and_add_up() {
    let world = World::in_business();
    let broken = Adjustment { amount: -500, reason: "a \"broken\", disk".into() };
    world.state(vec![broken], |_| ());
    let checked = world.check().await;
    assert!(checked.agrees(), "{:?}", checked.differences);
    assert_eq!((checked.credited, checked.without_receipt), (6, 0));
    assert_eq!(checked.open.earned.len(), 0, "everything is in the statement");
    let statement = checked.statement(0).unwrap();
    // (8 + 8 + 4) × 2,000 × 70 % − 10 × 1,500, (8 + 1) × 1,000 × 70 %, and the adjustment
    assert_eq!(statement.total, 28_000 - 15_000 + 6_300 - 500);
    let report = StatementReport::new(statement, |number| checked.contract(number)).unwrap();
    let csv = report.to_csv();
    let amounts = |kind: &str| -> i64 {
        let rows = csv.lines().filter(|row| row.split(',').nth(6) == Some(kind));
        let amount =
            |row: &str| row.split(',').nth(12).unwrap().parse::<scrip_protocol::ledger::Money>();
        rows.map(|row| amount(row).unwrap().0).sum()
    };
    assert_eq!(amounts("contract") + amounts("adjustment"), amounts("total"), "{csv}");
    assert_eq!(amounts("total"), statement.total);
    assert!(csv.contains("\"a \"\"broken\"\", disk\""), "{csv}");
    let columns = StatementReport::CSV_HEAD.trim_end().split(',').count();
    assert!(
        csv.lines()
            .filter(|row| !row.contains("broken"))
            .all(|row| row.split(',').count() == columns)
    );
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!((json["total"].as_str(), json["pays"].as_str()), (Some("0.0188"), Some("vendor")));
}

#[tokio::test]
async fn several_statements_and_what_is_open() {
    let mut world = World::in_business();
    world.state(Vec::new(), |_| ());
    world.redeem(1, &[1; 20]);
    world.state(Vec::new(), |_| ());
    world.redeem(1, &[2]);
    let checked = world.check().await;
    assert!(checked.agrees(), "{:?}", checked.differences);
    assert_eq!(checked.statements.len(), 2);
    assert_eq!(checked.open_total, Some(4 * 1_000 * 7 / 10));
}

#[tokio::test]
async fn an_operator_that_sold_more_than_it_earned_pays() {
    let world = World::in_business();
    world.resell(1_000);
    world.state(Vec::new(), |_| ());
    let checked = world.check().await;
    assert!(checked.agrees(), "{:?}", checked.differences);
    let statement = checked.statement(0).unwrap();
    assert!(statement.total < 0);
    let report = StatementReport::new(statement, |number| checked.contract(number)).unwrap();
    assert_eq!(report.pays, "operator");
}

#[tokio::test]
async fn a_line_that_says_too_little_is_proven_by_the_receipts() {
    let world = World::in_business();
    world.state(Vec::new(), |statement| {
        let line = statement.earned.iter_mut().find(|line| line.exponent.get() == 3).unwrap();
        line.certificates -= 1;
        statement.settled[0].credits.0 -= 8;
        statement.total -= 8 * 2_000 * 7 / 10;
    });
    let checked = world.check().await;
    assert_eq!(checked.differences.len(), 1, "{:?}", checked.differences);
    let judgements = world.judge(&checked);
    let judged = about(
        &judgements,
        "contract 1, epoch 1, denomination 8: it says 1 certificates, and the ledger 2",
    );
    assert_eq!(judged.verdict, Verdict::Proven, "{judged:?}");
    assert!(
        judged.reason.contains("credited 3 certificates of epoch 1 worth 8 credits"),
        "{judged:?}"
    );
}

#[tokio::test]
async fn a_statement_that_cannot_count_contradicts_itself() {
    let world = World::in_business();
    world.state(Vec::new(), |statement| statement.total -= 1);
    let checked = world.check().await;
    let judgements = world.judge(&checked);
    assert_eq!(about(&judgements, "its total is").verdict, Verdict::Proven);
}

#[tokio::test]
async fn a_price_that_is_in_no_contract_is_proven_by_those_that_are() {
    let world = World::in_business();
    // As if credits were worth half of what contract 1 says.
    world.state(Vec::new(), |statement| statement.total -= 20 * 1_000 * 7 / 10);
    let judgements = world.judge(&world.check().await);
    assert_eq!(about(&judgements, "its total is").verdict, Verdict::Proven);
}

#[tokio::test]
async fn a_contract_that_is_not_in_the_ledger_is_missed() {
    let world = World::in_business();
    world.state(Vec::new(), |statement| {
        let new_terms = statement.earned.iter_mut().filter(|line| line.contract == 2);
        new_terms.for_each(|line| line.contract = 3);
    });
    let checked = world.check().await;
    let judgements = world.judge(&checked);
    let judged = about(&judgements, "the contract 3 is not in the ledger");
    assert_eq!(judged.verdict, Verdict::Open, "only the vendor could show it");
    assert!(judged.reason.contains("contract 3"), "{judged:?}");
}

#[tokio::test]
async fn more_resold_than_was_sold_is_found_and_is_the_vendors_to_show() {
    let world = World::in_business();
    world.state(Vec::new(), |statement| {
        statement.resold[0].credits.0 += 5;
        statement.total -= 5 * 1_500;
    });
    let judgements = world.judge(&world.check().await);
    let judged = about(&judgements, "it says 15 credits in 1 purchases, and the ledger 10 in 1");
    assert_eq!(judged.verdict, Verdict::Open);
}

#[tokio::test]
async fn a_leaf_that_was_replaced_is_proven_twice() {
    let world = World::in_business();
    world.state(Vec::new(), |_| ());
    let index = {
        let mut ledger = world.vendor.ledger();
        let is_redemption = |index: &u64| {
            matches!(Leaf::decode(ledger.leaf(*index).unwrap()), Ok(Leaf::Redemption(_)))
        };
        let index = (0..ledger.size()).find(is_redemption).unwrap();
        ledger.replace(index, &Leaf::Cover([9; 32]));
        index
    };
    let checked = world.check().await;
    let judgements = world.judge(&checked);
    let gone = about(&judgements, &format!("is leaf {index}; another leaf is there"));
    assert_eq!(gone.verdict, Verdict::Proven, "{gone:?}");
    let forks: Vec<_> =
        judgements.iter().filter(|one| one.claim.contains("two histories")).collect();
    assert_eq!(forks.len(), world.receipts.len(), "each answer was signed with another history");
    assert!(forks.iter().all(|one| one.verdict == Verdict::Proven), "{forks:?}");
    // The redemption was promised and counts: the statement itself stays right.
    assert!(!judgements.iter().any(|one| one.claim.contains("statement")), "{judgements:?}");
}

#[tokio::test]
async fn a_leaf_that_is_kept_back_is_found_by_the_receipt() {
    let world = World::in_business();
    let last = world.vendor.ledger().size() - 1;
    world.vendor.ledger().hide(last);
    world.state(Vec::new(), |_| ());
    let judgements = world.judge(&world.check().await);
    assert_eq!(
        about(&judgements, &format!("did not show the redemption at leaf {last}")).verdict,
        Verdict::Open
    );
    // And the statement leaves it out too.
    let judged = about(&judgements, "denomination 1: it says 0 certificates, and the ledger 1");
    assert_eq!(judged.verdict, Verdict::Proven, "{judged:?}");
}

#[tokio::test]
async fn a_ledger_that_shrank_is_found() {
    let mut world = World::in_business();
    let before = World::in_business();
    world.redeem(1, &[1]);
    // The vendor shows what it had before the last batch.
    *world.vendor.ledger() = before.vendor.ledger().clone();
    let checked = world.check().await;
    let judgements = world.judge(&checked);
    assert!(
        judgements.iter().any(|one| one.claim.contains("and has signed one of")),
        "{judgements:?}"
    );
}

#[tokio::test]
async fn statements_that_do_not_follow_each_other_or_are_not_signed_are_found() {
    let mut world = World::in_business();
    world.state(Vec::new(), |_| ());
    world.redeem(1, &[2]);
    world.state(Vec::new(), |statement| {
        statement.number += 1;
        statement.from += 1;
    });
    let checked = world.check().await;
    let judgements = world.judge(&checked);
    about(&judgements, "it has the number 3 and not 2");
    about(&judgements, "the one before ended at");

    let world = World::in_business();
    let until = world.vendor.ledger().size();
    let statement = world.account().next_statement(Day(1), until, Vec::new(), |_| [0; 32]);
    let forged = statement.unwrap().unwrap().sign(&SigningKey::from_seed(&[0x99; 32])).unwrap();
    world.append(&Leaf::Statement(forged));
    about(&world.judge(&world.check().await), "is not signed by the vendor");
}

/// A relay that lost its newest receipts loses no money: what the vendor shows counts, and agrees.
#[tokio::test]
async fn a_relay_restored_from_an_old_backup_still_agrees() {
    let mut world = World::in_business();
    world.state(Vec::new(), |_| ());
    world.receipts.truncate(1);
    let checked = world.check().await;
    assert!(checked.agrees(), "{:?}", checked.differences);
    assert_eq!((checked.credited, checked.without_receipt), (3, 3));
}

#[tokio::test]
async fn a_vendor_that_shows_too_little_is_not_believed() {
    let world = World::in_business();
    struct Short<'w>(&'w World);
    impl LedgerLink for Short<'_> {
        fn checkpoint<'a>(
            &'a self,
            at: &'a VendorAddress,
        ) -> BoxFuture<'a, Result<Bytes, NoAnswer>> {
            self.0.checkpoint(at)
        }
        fn tile<'a>(
            &'a self,
            at: &'a VendorAddress,
            path: TilePath,
        ) -> BoxFuture<'a, Result<Bytes, NoAnswer>> {
            self.0.tile(at, path)
        }
        fn own<'a>(
            &'a self,
            _: &'a VendorAddress,
            _: Vec<u8>,
        ) -> BoxFuture<'a, Result<Bytes, NoAnswer>> {
            let short = scrip_protocol::ledger::OwnLeaves { size: 3, next: 3, leaves: Vec::new() };
            Box::pin(async move { Ok(short.encode().into()) })
        }
    }
    let (address, policy) = (world.vendor.address(), WitnessPolicy::none());
    let operator_key = world.operator.public();
    let known = Known { address: &address, keys: &world.keys, operator_key, policy: &policy };
    let shown = fetch::own_leaves(&Short(&world), &known, 8, |_| Vec::new()).await;
    assert!(matches!(shown, Err(FetchError::Short { shown: 3, size: 8 })));
}

/// The vendor's receipts of before a change of its key stand, and its books under the new one are held against them.
#[tokio::test]
async fn receipts_under_an_earlier_key_are_judged_with_books_under_a_new_one() {
    let newer = || SigningKey::from_seed(&[0x61; 32]);
    for endorsed in [true, false] {
        let mut world = World::in_business();
        let first = world.vendor.manifest();
        world.vendor.sign_with(newer());
        match endorsed {
            true => world.vendor.endorse(2, newer().public()),
            false => world.vendor.publish(|body| {
                body.version = 2;
                body.receipt_keys = ReceiptKeys::first(newer().public());
            }),
        }
        world.keys = VendorKeys::new(vec![first, world.vendor.manifest()]).unwrap();
        world.redeem(1, &[1]);
        world.state(Vec::new(), |_| ());
        let checked = world.check().await;
        let judgements = world.judge(&checked);
        match endorsed {
            true => assert!(checked.agrees(), "{:?}", checked.differences),
            // The books are right, and the vendor's manifests are not.
            false => {
                let broken = about(&judgements, "version 2 breaks what version 1 promises");
                assert_eq!(broken.verdict, Verdict::Proven, "{broken:?}");
                assert_eq!(judgements.len(), 1, "{judgements:?}");
            }
        }
        // What it signed with the first key was there is gone from the books that the new one signs.
        let index = {
            let mut ledger = world.vendor.ledger();
            let is_redemption = |index: &u64| {
                matches!(Leaf::decode(ledger.leaf(*index).unwrap()), Ok(Leaf::Redemption(_)))
            };
            let index = (0..ledger.size()).find(is_redemption).unwrap();
            ledger.replace(index, &Leaf::Cover([9; 32]));
            index
        };
        let judgements = world.judge(&world.check().await);
        let gone = about(&judgements, &format!("is leaf {index}; another leaf is there"));
        assert_eq!(gone.verdict, Verdict::Proven, "{gone:?}");
    }
}

/// Nothing in a dispute file is believed because it stands there.
#[tokio::test]
async fn a_dispute_file_that_was_made_up_proves_nothing() {
    let world = World::in_business();
    world.state(Vec::new(), |statement| statement.total -= 1);
    let first = (0..).find(|index| {
        matches!(Leaf::decode(world.vendor.ledger().leaf(*index).unwrap()), Ok(Leaf::Redemption(_)))
    });
    world.vendor.ledger().replace(first.unwrap(), &Leaf::Cover([9; 32]));
    let honest = Dispute::of(&world.check().await);
    let judge = |change: fn(&mut Dispute)| {
        let mut dispute = honest.clone();
        change(&mut dispute);
        verify(dispute.to_json().as_bytes(), &world.vendor.id())
    };
    let proven =
        |judged: &[Judgement]| judged.iter().filter(|one| one.verdict == Verdict::Proven).count();
    assert!(proven(&judge(|_| ()).unwrap()) >= 3);
    let other = TestVendor::new(1).id();
    let foreign = verify(honest.to_json().as_bytes(), &other);
    assert!(matches!(foreign, Err(VerifyError::OtherVendor(_))));
    for change in [
        (|dispute| dispute.operator_key = SigningKey::from_seed(&[3; 32]).public())
            as fn(&mut Dispute),
        |dispute| dispute.receipts[0].replace_range(200..204, "AAAA"),
        |dispute| {
            dispute.contracts[0].proof = dispute.contracts[0].proof.replace("index 1", "index 2")
        },
        |dispute| dispute.manifests[0].replace_range(400..404, "AAAA"),
        |dispute| dispute.format = "other".into(),
    ] {
        assert!(judge(change).is_err());
    }
    // The claims themselves, each changed so that its evidence does not say it.
    let spoiled = judge(|dispute| {
        for claim in &mut dispute.claims {
            match claim {
                Claim::Leaf { position, .. }
                | Claim::Refused { position, .. }
                | Claim::DoubleSpent { position, .. } => *position += 1,
                Claim::Histories { hashes, .. } => drop(hashes.pop()),
                Claim::Statement { statement, .. } => statement.replace_range(20..24, "AAAA"),
                Claim::Manifests { .. } | Claim::Asks { .. } => {}
            }
        }
    });
    let spoiled = spoiled.unwrap();
    assert_eq!(proven(&spoiled), 0, "{spoiled:?}");
}

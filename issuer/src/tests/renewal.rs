//! Renewal: every check, who wins, and what the books say.

use super::support::*;
use crate::{Issuer, testing::TestIssuer};
use futures_util::future::join_all;
use scrip_protocol::{
    id::{KeyId, VendorId},
    issuance::{Blinding, Certificate},
    judge::{Judge, Refusal as Justification, WindowHistory},
    ledger::Leaf,
    limits::{MAX_RENEWAL_REFUSALS, RENEWAL_ITEM},
    manifest::{DenominationKey, KeyUse, Windows},
    media,
    problem::{Problem, ProblemType},
    redemption::{ConflictProof, ItemResult, Winner},
    renewal::{Renewal, RenewalItem, RenewalRefusal, RenewalResult, RenewalSpent},
    seed::Counter,
};
use scrip_runtime::clock::Clock;

const PATH: &str = "/v1/renewals";

/// A wallet with one starter pack.
pub(super) struct Holder {
    wallet: Wallet,
    pub(super) certificates: Vec<Certificate>,
}

impl Holder {
    pub(super) async fn new(number: u8, issuer: &Issuer) -> Self {
        let mut wallet = Wallet::new(number);
        let certificates = wallet.buy(issuer).await;
        Self { wallet, certificates }
    }

    /// What asks for the renewal of the certificate at `position`, blinded as the certificate `counter` under `key`.
    fn item_under(
        &self,
        vendor: &TestIssuer,
        position: usize,
        key: &KeyId,
        counter: Counter,
    ) -> (Blinding, RenewalItem) {
        let manifest = vendor.issuer.manifest();
        let key = manifest.key(key).unwrap();
        let blinding = Blinding::start(&self.wallet.seed, &manifest, key, counter).unwrap();
        let vendor_id = vendor.issuer.vendor_id();
        let item = self.certificates[position].renew(&vendor_id, blinding.item());
        (blinding, item)
    }

    /// The same with what issues now, as a wallet asks for it.
    pub(super) fn item(&self, vendor: &TestIssuer, position: usize) -> (Blinding, RenewalItem) {
        let counter = Counter::new(0, position as u16);
        self.item_under(vendor, position, &new_key(vendor, STARTER[position]), counter)
    }

    pub(super) fn items(&self, vendor: &TestIssuer) -> (Vec<Blinding>, Vec<RenewalItem>) {
        (0..STARTER.len()).map(|position| self.item(vendor, position)).unzip()
    }
}

fn new_key(vendor: &TestIssuer, exponent: u8) -> KeyId {
    issuing(&vendor.issuer, exponent)
}

fn windows(vendor: &TestIssuer) -> Windows {
    first_windows(&vendor.issuer)
}

/// Moves the clock into the renewal window of the first epoch; a later one issues then.
pub(super) async fn open_the_window(vendor: &TestIssuer) {
    vendor.clock.set(renewal_from(vendor));
    vendor.issuer.tend_keys().await.unwrap();
}

fn renewal_from(vendor: &TestIssuer) -> scrip_protocol::time::UnixSeconds {
    windows(vendor).renew_from
}

async fn renewable() -> (TestIssuer, Holder) {
    let vendor = TestIssuer::start().await.unwrap();
    let holder = Holder::new(1, &vendor.issuer).await;
    open_the_window(&vendor).await;
    (vendor, holder)
}

pub(super) async fn ask(issuer: &Issuer, item: &RenewalItem) -> Answer {
    post(issuer, PATH, media::RENEWAL_REQUEST, None, item.encode()).await
}

pub(super) fn result(answer: Answer) -> RenewalResult {
    RenewalResult::decode(&answer.success(media::RENEWAL_ANSWER)).unwrap()
}

/// Each in a request of its own.
pub(super) async fn ask_all(issuer: &Issuer, items: &[RenewalItem]) -> Vec<RenewalResult> {
    let mut results = Vec::new();
    for item in items {
        results.push(result(ask(issuer, item).await));
    }
    results
}

fn renewal(result: &RenewalResult) -> Renewal {
    match result {
        RenewalResult::Renewed(renewal) => renewal.clone(),
        RenewalResult::Spent(spent) => panic!("{spent:?}"),
    }
}

/// What was spent, if that is the answer, checked as a wallet does.
fn spent(vendor: &TestIssuer, item: &RenewalItem, result: &RenewalResult) -> RenewalSpent {
    let RenewalResult::Spent(signed) = result else { panic!("{result:?}") };
    let (manifest, vendor_id) = (vendor.issuer.manifest(), vendor.issuer.vendor_id());
    let spent = signed.verify(manifest.receipt_keys()).unwrap().clone();
    assert_eq!((spent.vendor_id, spent.asked()), (vendor_id, item.identity(&vendor_id)));
    spent.checkpoint(manifest.receipt_keys()).unwrap();
    spent
}

/// The refusal in an answer, if the vendor signed one of this item.
fn refusal(vendor: &TestIssuer, item: &RenewalItem, answer: &Answer) -> Option<RenewalRefusal> {
    let (manifest, vendor_id) = (vendor.issuer.manifest(), vendor.issuer.vendor_id());
    let problem = Problem::from_json(&answer.body).unwrap();
    let asked = item.identity(&vendor_id);
    let signed = RenewalRefusal::of(&problem, manifest.receipt_keys(), &vendor_id, &asked);
    assert_eq!(signed.is_some(), problem.refusal.is_some());
    signed.map(|(refusal, _)| refusal)
}

fn finish_all(
    vendor: &TestIssuer,
    blindings: Vec<Blinding>,
    results: &[RenewalResult],
) -> Vec<Certificate> {
    let manifest = vendor.issuer.manifest();
    let finish = |(blinding, result): (Blinding, &RenewalResult)| {
        let signed = renewal(result).signed_item();
        blinding.finish(manifest.key(&signed.key_id).unwrap(), &signed).unwrap()
    };
    blindings.into_iter().zip(results).map(finish).collect()
}

#[tokio::test]
async fn a_certificate_is_exchanged_for_one_of_the_same_value() {
    let (vendor, holder) = renewable().await;
    let (blindings, items) = holder.items(&vendor);
    let renewed = ask_all(&vendor.issuer, &items).await;
    assert_eq!(ask_all(&vendor.issuer, &items).await, renewed, "the same again");

    let new = finish_all(&vendor, blindings, &renewed);
    let mut operator = Operator::new(&vendor, 1).await;
    let spent = new.iter().map(|c| operator.item(&vendor, c, 1)).collect();
    assert_eq!(operator.redeem(&vendor, spent).await, [ItemResult::Accepted; 7]);
    // The old ones are void, and whoever was paid with them can check it.
    let old: Vec<_> = holder.certificates.iter().map(|c| operator.item(&vendor, c, 1)).collect();
    for (item, result) in old.iter().zip(operator.redeem(&vendor, old.clone()).await) {
        let ItemResult::DoubleSpent(spend) = result else { panic!("{result:?}") };
        assert_eq!(spend.winner, Winner::Renewed(vendor.clock.now().day()));
        let proof = spend.proof();
        let own = item.binding(&vendor.issuer.vendor_id(), &operator.id);
        proof.verify(&item.token.nonce, &own).unwrap();
    }

    let status = vendor.issuer.status().await.unwrap();
    assert_eq!((status.credits_issued.0, status.credits_redeemed.0), (24, 12));
    assert_eq!((status.credits_renewed.0, status.credits_outstanding.0), (12, 0));
    for row in &status.denominations {
        let moved = row.redeemed as i64 + row.renewed as i64 + row.expired as i64 + row.outstanding;
        assert_eq!(row.issued as i64, moved, "{row:?}");
    }
}

#[tokio::test]
async fn what_expires_shows_in_the_books() {
    let (vendor, holder) = renewable().await;
    let (_, item) = holder.item(&vendor, 6);
    renewal(&result(ask(&vendor.issuer, &item).await));
    vendor.clock.set(windows(&vendor).redeem_until);
    let status = vendor.issuer.status().await.unwrap();
    assert_eq!((status.credits_issued.0, status.credits_renewed.0), (16, 4));
    assert_eq!((status.credits_expired.0, status.credits_outstanding.0), (8, 4));
}

#[tokio::test]
async fn what_was_spent_is_not_renewed_and_the_others_are() {
    let (vendor, holder) = renewable().await;
    let mut operator = Operator::new(&vendor, 1).await;
    let spent = operator.item(&vendor, &holder.certificates[1], 1);
    assert_eq!(operator.redeem(&vendor, vec![spent.clone()]).await, [ItemResult::Accepted]);
    let (_, items) = holder.items(&vendor);
    let results = ask_all(&vendor.issuer, &items[..3]).await;
    let vendor_id = vendor.issuer.vendor_id();
    let told = super::renewal::spent(&vendor, &items[1], &results[1]);
    told.proof.verify(&spent.token.nonce, &items[1].binding(&vendor_id)).unwrap();
    assert_eq!(told.proof.other_binding, spent.binding(&vendor_id, &operator.id));
    // Whoever may read the ledger finds it there.
    let (_, leaves) = super::ledger::leaves(&vendor).await;
    let Leaf::Redemption(leaf) = &leaves[told.leaf as usize] else { panic!("no redemption") };
    assert_eq!(leaf.item, spent);
    assert_eq!(ask_all(&vendor.issuer, &items[1..2]).await, results[1..2], "the same again");
    renewal(&results[0]);
    renewal(&results[2]);
    assert_eq!(vendor.issuer.status().await.unwrap().credits_renewed.0, 2);
}

#[tokio::test]
async fn a_certificate_is_renewed_once_whatever_is_asked_for_later() {
    let (vendor, holder) = renewable().await;
    let (_, first) = holder.item(&vendor, 0);
    let recorded = result(ask(&vendor.issuer, &first).await);
    let key = new_key(&vendor, 0);
    let (_, other) = holder.item_under(&vendor, 0, &key, Counter::new(9, 9));
    assert_ne!(other.blinded.blinded_message, first.blinded.blinded_message);
    assert_eq!(result(ask(&vendor.issuer, &other).await), recorded);
    let renewal = renewal(&recorded);
    let old = first.token.certificate_key().unwrap();
    let old_id = first.token.key_id;
    renewal.verify(&vendor.issuer.vendor_id(), &old_id, &old).unwrap();
    assert!(renewal.verify(&VendorId::from_bytes([1; 32]), &old_id, &old).is_err());
    assert!(renewal.verify(&vendor.issuer.vendor_id(), &renewal.key_id, &old).is_err());
    assert_eq!(vendor.issuer.status().await.unwrap().credits_renewed.0, 1);
}

#[tokio::test]
async fn outside_of_the_window_nothing_is_renewed() {
    let (vendor, holder) = renewable().await;
    let windows = windows(&vendor);
    let items: Vec<_> = (0..5).map(|position| holder.item(&vendor, position).1).collect();
    let early = renewal_from(&vendor).minus(1);
    for (item, moment) in items[2..].iter().zip([early, windows.spend_until, windows.redeem_until])
    {
        vendor.clock.set(moment);
        believe(&vendor);
        let answer = ask(&vendor.issuer, item).await;
        assert_eq!(answer.problem(), ProblemType::RenewalClosed, "{moment:?}");
        // A window that is over never opens again.
        let signed = refusal(&vendor, item, &answer);
        assert_eq!(signed.is_some(), moment != early, "{moment:?}");
    }
    for (at, moment) in [renewal_from(&vendor), windows.spend_until.minus(1)].iter().enumerate() {
        vendor.clock.set(*moment);
        believe(&vendor);
        let (_, item) = holder.item(&vendor, at);
        let answer = ask(&vendor.issuer, &item).await;
        renewal(&result(answer.clone()));
        // What was renewed is answered at any time.
        vendor.clock.set(windows.redeem_until);
        believe(&vendor);
        assert_eq!(ask(&vendor.issuer, &item).await, answer);
    }
}

#[tokio::test]
async fn what_is_refused_is_refused_for_ever_whatever_the_clock_says_then() {
    let (vendor, holder) = renewable().await;
    let (in_time, windows) = (vendor.clock.now(), windows(&vendor));
    let (_, item) = holder.item(&vendor, 0);
    vendor.clock.set(windows.spend_until);
    believe(&vendor);
    let refused = ask(&vendor.issuer, &item).await;
    let signed = refusal(&vendor, &item, &refused).unwrap();
    assert_eq!(
        (signed.problem, signed.day),
        (ProblemType::RenewalClosed, windows.spend_until.day())
    );
    assert_eq!(signed.manifest_version, vendor.issuer.manifest().version());
    let before = database(&vendor.issuer).await;
    // The clock was wrong: the window is open. What was promised holds all the same, to the byte.
    for moment in [in_time, in_time.plus(86_400), windows.redeem_until] {
        vendor.clock.set(moment);
        believe(&vendor);
        assert_eq!(ask(&vendor.issuer, &item).await, refused, "{moment:?}");
    }
    assert_eq!(database(&vendor.issuer).await, before);
    // Another renewal of the same certificate is another one, and so is its spend.
    vendor.clock.set(in_time);
    believe(&vendor);
    let key = new_key(&vendor, 0);
    let (_, other) = holder.item_under(&vendor, 0, &key, Counter::new(9, 9));
    let recorded = ask(&vendor.issuer, &other).await;
    renewal(&result(recorded.clone()));
    // What is recorded now says more than that the first was refused.
    assert_eq!(ask(&vendor.issuer, &item).await, recorded);
}

#[tokio::test]
async fn what_may_be_taken_later_is_not_refused() {
    let (vendor, holder) = renewable().await;
    let in_time = vendor.clock.now();
    let (_, item) = holder.item(&vendor, 0);
    vendor.clock.set(renewal_from(&vendor).minus(1));
    believe(&vendor);
    let before = database(&vendor.issuer).await;
    let answer = ask(&vendor.issuer, &item).await;
    assert_eq!(answer.problem(), ProblemType::RenewalClosed);
    assert_eq!(refusal(&vendor, &item, &answer), None);
    assert_eq!(database(&vendor.issuer).await, before);
    renewal(&result({
        vendor.clock.set(in_time);
        believe(&vendor);
        ask(&vendor.issuer, &item).await
    }));
    // The next epoch's key is in the manifest before it issues.
    let manifest = vendor.issuer.manifest();
    let ends = manifest.key(&new_key(&vendor, 0)).unwrap().windows().issue_until;
    vendor.clock.set(ends.minus(3_600));
    believe(&vendor);
    vendor.issuer.tend_keys().await.unwrap();
    let manifest = vendor.issuer.manifest();
    let is_next = |key: &&DenominationKey| {
        key.key_use() == KeyUse::Production && key.windows().issue_from >= ends
    };
    let later = manifest.keys().filter(is_next).find(|key| key.exponent() == k(0)).unwrap();
    assert!(!later.windows().signs_at(vendor.clock.now()), "a key of tomorrow");
    let before = database(&vendor.issuer).await;
    let (_, early) = holder.item_under(&vendor, 1, &later.id(), Counter::new(0, 1));
    let answer = ask(&vendor.issuer, &early).await;
    assert_eq!(answer.problem(), ProblemType::KeyOutsideWindow);
    assert_eq!(refusal(&vendor, &early, &answer), None);
    assert_eq!(database(&vendor.issuer).await, before);
    // When that key issues, the window of the old one is over.
    vendor.clock.set(later.windows().issue_from);
    believe(&vendor);
    let late = ask(&vendor.issuer, &early).await;
    assert!(refusal(&vendor, &early, &late).is_some());
}

#[tokio::test]
async fn one_certificate_brings_a_few_refusals_and_no_more() {
    let (vendor, holder) = renewable().await;
    let key = new_key(&vendor, 0);
    let items: Vec<_> = (0..=MAX_RENEWAL_REFUSALS as u32)
        .map(|n| holder.item_under(&vendor, 0, &key, Counter::new(20 + n, 0)).1)
        .collect();
    let (_, other) = holder.item(&vendor, 1);
    vendor.clock.set(windows(&vendor).spend_until);
    believe(&vendor);
    let mut refused = Vec::new();
    for item in &items {
        let answer = ask(&vendor.issuer, item).await;
        assert_eq!(answer.problem(), ProblemType::RenewalClosed);
        refused.push(refusal(&vendor, item, &answer).is_some());
    }
    let mut expected = vec![true; MAX_RENEWAL_REFUSALS];
    expected.push(false);
    assert_eq!(refused, expected);
    // Another certificate's are counted by themselves.
    assert!(refusal(&vendor, &other, &ask(&vendor.issuer, &other).await).is_some());
}

#[tokio::test]
async fn each_request_fails_its_first_check() {
    let (vendor, holder) = renewable().await;
    let (_, good) = holder.item(&vendor, 0);
    let with = |edit: &dyn Fn(&mut RenewalItem)| {
        let mut item = good.clone();
        edit(&mut item);
        item
    };
    let under = |key: &KeyId| holder.item_under(&vendor, 0, key, Counter::new(0, 0)).1;
    let old_key = holder.certificates[0].token().key_id;
    let signed = |edit: &dyn Fn(&mut RenewalItem)| {
        let changed = with(edit);
        holder.certificates[0].renew(&vendor.issuer.vendor_id(), &changed.blinded)
    };
    let mut identity = [0; 32];
    identity[0] = 1;
    let before = database(&vendor.issuer).await;
    // Nobody is promised anything about what does not verify, or names a key that may be in a newer manifest.
    let cases = [
        (with(&|i| i.token.challenge_digest[0] ^= 1), ProblemType::ChallengeMismatch),
        (with(&|i| i.token.key_id = KeyId::from_bytes([1; 32])), ProblemType::KeyUnknown),
        (with(&|i| i.token.nonce = identity), ProblemType::CertificateKeyInvalid),
        (with(&|i| i.token.authenticator[3] ^= 1), ProblemType::CertificateSignatureInvalid),
        (with(&|i| i.signature = bad_signature()), ProblemType::SpendSignatureInvalid),
        (with(&|i| i.blinded.blinded_message[9] ^= 1), ProblemType::SpendSignatureInvalid),
        (signed(&|i| i.blinded.key_id = KeyId::from_bytes([1; 32])), ProblemType::KeyUnknown),
    ];
    for (item, problem) in cases {
        let answer = ask(&vendor.issuer, &item).await;
        assert_eq!(answer.problem(), problem);
        assert_eq!(Problem::from_json(&answer.body).unwrap().refusal, None);
    }
    assert_eq!(database(&vendor.issuer).await, before);
    // What can never be taken is refused for good.
    let cases = [
        (under(&old_key), ProblemType::KeyOutsideWindow),
        (under(&new_key(&vendor, 1)), ProblemType::Malformed),
        (
            signed(&|i| i.blinded.blinded_message = [0xff; 256]),
            ProblemType::BlindedMessageOutOfRange,
        ),
        (signed(&|i| i.blinded.blinded_message = [0; 256]), ProblemType::BlindedMessageOutOfRange),
    ];
    let mut history = WindowHistory::default();
    history.add(&vendor.issuer.manifest());
    let manifest = vendor.issuer.manifest();
    let judge = Judge::new(&manifest, &history);
    for (item, problem) in cases {
        let answer = ask(&vendor.issuer, &item).await;
        assert_eq!(answer.problem(), problem);
        let refused = refusal(&vendor, &item, &answer).unwrap();
        // Whoever judges it finds it right.
        assert!(matches!(judge.renewal_refusal(&item, &refused), Justification::True(_)));
    }
    let before = database(&vendor.issuer).await;
    let item = good.encode();
    for (body, problem) in [
        (vec![0; RENEWAL_ITEM + 1], ProblemType::TooLarge),
        (item[..item.len() - 1].to_vec(), ProblemType::Malformed),
        (vec![0, 0], ProblemType::Malformed),
        // Two at once would belong together.
        ([item.as_slice(), &item].concat(), ProblemType::TooLarge),
    ] {
        let answer = post(&vendor.issuer, PATH, media::RENEWAL_REQUEST, None, body).await;
        assert_eq!(answer.problem(), problem);
    }
    let answer = post(&vendor.issuer, PATH, media::REDEMPTION_BATCH, None, item).await;
    assert_eq!(answer.problem(), ProblemType::UnsupportedMediaType);
    assert_eq!(database(&vendor.issuer).await, before);
    renewal(&result(ask(&vendor.issuer, &good).await));
}

/// Each certificate is renewed in eight ways and redeemed by eight operators, all at once, at either of two processes.
pub(crate) async fn race(one: &TestIssuer, two: &TestIssuer) {
    let at = |number: usize| [one, two][number % 2];
    let holder = Holder::new(200, &one.issuer).await;
    open_the_window(one).await;
    two.issuer.reload().await.unwrap();
    let count = STARTER.len();
    let mut batches = Vec::new();
    for number in 0..8 {
        let mut operator = Operator::new(one, 100 + number).await;
        let items = holder.certificates.iter().map(|c| operator.item(one, c, number)).collect();
        batches.push(operator.batch(one, items));
    }
    let requests: Vec<Vec<RenewalItem>> = (0..8_u32)
        .map(|number| {
            let item = |position: usize| {
                let key = new_key(one, STARTER[position]);
                let counter = Counter::new(number, position as u16);
                holder.item_under(one, position, &key, counter).1
            };
            // In opposite orders, so that they would block each other if they could.
            let order: Vec<usize> =
                if number % 2 == 0 { (0..count).collect() } else { (0..count).rev().collect() };
            order.into_iter().map(item).collect()
        })
        .collect();
    let redemptions =
        join_all(
            batches.iter().enumerate().map(|(number, batch)| {
                let issuer = &at(number).issuer;
                async move {
                    outcome(at(number), batch, send_batch(issuer, batch.clone()).await).results
                }
            }),
        );
    let renewals = join_all(requests.iter().enumerate().map(|(number, items)| {
        let issuer = &at(number + 1).issuer;
        async move { ask_all(issuer, items).await }
    }));
    let (redeemed, renewed) = tokio::join!(redemptions, renewals);
    for position in 0..count {
        let accepted =
            redeemed.iter().filter(|results| results[position] == ItemResult::Accepted).count();
        let nonce = holder.certificates[position].token().nonce;
        let mut recorded: Vec<Result<Renewal, (ConflictProof, u64)>> = Vec::new();
        for (items, results) in requests.iter().zip(&renewed) {
            let found = items.iter().position(|item| item.token.nonce == nonce).unwrap();
            recorded.push(match &results[found] {
                RenewalResult::Renewed(renewal) => Ok(renewal.clone()),
                result @ RenewalResult::Spent(_) => {
                    let spent = spent(one, &items[found], result);
                    Err((spent.proof, spent.leaf))
                }
            });
        }
        assert!(recorded.iter().all(|result| *result == recorded[0]), "all are told the same");
        match recorded[0] {
            Ok(_) => assert_eq!(accepted, 0, "renewed and redeemed"),
            Err(_) => assert_eq!(accepted, 1, "spent, and by nobody"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_certificate_is_redeemed_or_renewed() {
    let vendor = TestIssuer::start().await.unwrap();
    race(&vendor, &vendor).await;
}

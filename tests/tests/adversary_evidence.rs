//! Who makes evidence that is none, and who signs what is not so: an operator that forges claims against an honest vendor, and a vendor
//! that refuses what it has to credit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use blind_rsa_signatures::{BlindSignature, DefaultRng, Deterministic, PSS, PublicKey, Sha384};
use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::scalar::Scalar;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use scrip_auditor::audit::{AuditOptions, audit};
use scrip_auditor::finding::FindingKind;
use scrip_auditor::source::DirectoryLedger;
use scrip_issuer::ledger::auditors::add_auditor;
use scrip_protocol::credits::{Credits, Exponent};
use scrip_protocol::hash::Label;
use scrip_protocol::id::{BatchId, KeyId, OperatorId, encode_base64url};
use scrip_protocol::issuance::{
    BlindedItem, Certificate, IssuanceAnswer, IssuanceRequest, SignedItem,
};
use scrip_protocol::keys::{Signature, SigningKey};
use scrip_protocol::ledger::{BatchReceipt, LedgerQuery};
use scrip_protocol::manifest::{KeyUse, Manifest};
use scrip_protocol::media;
use scrip_protocol::payment::{PaidRequest, Payment};
use scrip_protocol::purchase::GrantRequest;
use scrip_protocol::redemption::{
    DoubleSpend, InvalidReason, ItemResult, RedemptionBatch, RedemptionItem, RedemptionOutcome,
    SignedBatch, Winner,
};
use scrip_protocol::resource::{ResourceKind, ResourceRequest};
use scrip_protocol::seed::WalletSeed;
use scrip_protocol::spend::{Commitment, Salt};
use scrip_protocol::tlog::hash::leaf_hash;
use scrip_protocol::tlog::policy::WitnessPolicy;
use scrip_protocol::tlog::proof::LogProof;
use scrip_protocol::tlog::tree::inclusion_proof;
use scrip_protocol::token::Token;
use scrip_relay::earnings::Known;
use scrip_relay::earnings::compare::{Checked, Comparison};
use scrip_relay::earnings::dispute::{
    Claim, Dispute, Judgement, ProvenLeaf, Verdict, judge, verify,
};
use scrip_relay::earnings::fetch::{self, HttpLedger};
use scrip_relay::earnings::keys::VendorKeys;
use scrip_runtime::client::{ClientOptions, HttpClient};
use scrip_runtime::clock::{Clock, SharedClock};
use scrip_runtime::steps::Steps;
use scrip_tests::adversary::{Act, Answer, Stage};
use scrip_tests::network::{Network, PRODUCT, Plan};
use scrip_tests::node::{PASSPHRASE, RelayNode};
use scrip_wallet::net::{Network as Ways, RelayClient, Route};
use scrip_wallet::{Doubtful, Wallet};
use sha2::{Digest, Sha512};

/// A request for a queue with keys of its own, so that no two are alike.
fn request(n: u8) -> Vec<u8> {
    let key = |m| SigningKey::from_seed(&[m; 32]).public();
    let kind = ResourceKind::Queue { recipient_key: key(n), sender_key: key(255 - n) };
    ResourceRequest { days: 30, kind }.encode()
}

async fn draft(wallet: &Wallet, relay: &RelayNode, n: u8, credits: u64) -> PaidRequest {
    let operator = relay.address().id;
    wallet.draft_payment(&operator, &request(n), Credits(credits), Doubtful::Keep).await.unwrap()
}

fn client(network: &Network, relay: &RelayNode) -> RelayClient {
    let environment = network.environment();
    let ways = Ways::new(environment.network, environment.entropy);
    ways.relay(relay.address(), environment.clock).unwrap()
}

/// Runs `scrip-relay` as an operator does.
async fn relay_command(network: &Network, arguments: &[&str]) -> ExitCode {
    let mut all: Vec<OsString> =
        vec!["scrip-relay".into(), "--dir".into(), network.relay_dir("relay-0").into()];
    all.extend(arguments.iter().map(Into::into));
    let env = vec![("SCRIP_RELAY_PASSPHRASE".to_owned(), PASSPHRASE.to_owned())];
    let clock: SharedClock = Arc::new(network.clock.clone());
    let main = move || scrip_relay::cli::main_with(all, env, clock, Steps::none());
    tokio::task::spawn_blocking(main).await.unwrap()
}

fn ledger_of(network: &Network) -> PathBuf {
    network.issuer_dir().join("ledger")
}

/// What an auditor finds who was handed these receipts.
async fn audited(network: &Network, receipts: &Path) -> Vec<FindingKind> {
    let options = AuditOptions {
        vendor: network.vendor.address().id,
        since: None,
        receipts: Some(receipts.to_owned()),
        refusals: None,
        policy: WitnessPolicy::none(),
        state: None,
        save_every: 1_024,
        workers: 1,
        now: network.clock.now(),
        rng: Arc::new(|| Box::new(ChaCha20Rng::from_seed([5; 32]))),
    };
    let ledger = DirectoryLedger::new(ledger_of(network));
    let audit = move || audit(&ledger, &options, &|_| {});
    let report = tokio::task::spawn_blocking(audit).await.unwrap().unwrap();
    let mut kinds: Vec<FindingKind> = report.findings.iter().map(|one| one.finding.kind).collect();
    kinds.sort_unstable();
    kinds
}

fn verdicts(judgements: &[Judgement]) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = judgements.iter().map(|one| one.verdict).collect();
    verdicts.sort_by_key(|verdict| *verdict as u8);
    verdicts
}

/// A vendor credits nothing: it calls one good certificate invalid, one expired, and the others double spent, with what their wallet had
/// signed for another relay and a leaf that is about something else. Before, the relay's tool said that the books agree, and the auditor
/// that everything passes, and nobody was paid. Now the tool ends with 3, and the file that it writes convicts the vendor: of the
/// refusals by itself, of the double spends with the leaves that any auditor's token shows. The auditor finds each by the receipts.
#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_signs_untrue_refusals_is_convicted_by_them() {
    let stage = Stage::set(Plan::default()).await.unwrap();
    let network = &stage.network;
    let (relay, other) = (&network.relays[0], &network.relays[1]);
    let wallet = network.funded_wallet("alice", 1).await.unwrap();
    let paid = draft(&wallet, relay, 1, 13).await;
    let elsewhere = draft(&wallet, other, 2, 13).await;
    let signed_elsewhere = elsewhere.payment.evidence(&elsewhere.resource_request);
    let certificates = paid.payment.items.len();
    assert!(certificates > 2, "{certificates}");
    client(network, relay).pay(Route::Queues, &paid.encode()).await.unwrap();

    let issuer = network.vendor.issuer().unwrap();
    let receipt_key = issuer.receipt_key();
    let (vendor, version, day) =
        (issuer.vendor_id(), issuer.manifest().version(), network.clock.today());
    let checkpoint = std::fs::read(ledger_of(network).join("checkpoint")).unwrap();
    stage.redeeming.lie(move |request| {
        if !request.is("POST", "/v1/redemptions") {
            return Act::Honest;
        }
        let batch = SignedBatch::decode(&request.body).unwrap();
        let lie = |(position, item): (usize, &scrip_protocol::redemption::RedemptionItem)| {
            let other = signed_elsewhere.iter().find(|one| one.item.token == item.token).unwrap();
            match position {
                0 => ItemResult::Invalid(InvalidReason::CertificateSignature),
                1 => ItemResult::Expired,
                _ => ItemResult::DoubleSpent(DoubleSpend {
                    certificate_key: item.token.certificate_key().unwrap(),
                    other_binding: other.binding,
                    other_signature: other.item.signature,
                    winner: Winner::Leaf(0),
                }),
            }
        };
        let outcome = RedemptionOutcome {
            vendor_id: vendor,
            operator_id: batch.operator_id(),
            batch_digest: batch.digest(),
            day,
            manifest_version: version,
            results: batch.items().iter().enumerate().map(lie).collect(),
            leaves: Vec::new(),
            checkpoint: checkpoint.clone(),
        };
        Act::Instead(Answer::new(200, media::REDEMPTION_OUTCOME, outcome.sign(&receipt_key)))
    });
    let redeemed = relay.relay().unwrap().redeem_now().await.unwrap();
    let double_spent = certificates as u64 - 2;
    assert_eq!((redeemed.accepted, redeemed.invalid, redeemed.expired), (0, 1, 1));
    assert_eq!(redeemed.double_spent, double_spent);
    stage.be_honest();

    // The operator looks at its books.
    let file = network.dir().join("dispute.json");
    let (id, path) = (vendor.to_string(), file.to_str().unwrap());
    let check = ["earnings", "--check", "--vendor", &id, "--dispute", path];
    assert_eq!(relay_command(network, &check).await, ExitCode::from(3));
    let bytes = std::fs::read(&file).unwrap();
    let mut expected = vec![Verdict::Proven; 2];
    expected.extend(vec![Verdict::Open; certificates - 2]);
    assert_eq!(verdicts(&verify(&bytes, &vendor).unwrap()), expected);

    // Whoever may read the ledger judges all of it.
    let mut rng = ChaCha20Rng::from_seed([8; 32]);
    let added = add_auditor(issuer.store(), "judge", 10, network.clock.now(), &mut rng).await;
    let token = network.dir().join("token");
    std::fs::write(&token, added.unwrap().0.to_string()).unwrap();
    let address = network.vendor.address().to_string();
    let token_file = token.to_str().unwrap();
    let judge = ["dispute", "verify", path, "--vendor", &address, "--token-file", token_file];
    assert_eq!(relay_command(network, &judge).await, ExitCode::SUCCESS);
    let judged = judged_with(network, &bytes, std::fs::read_to_string(&token).unwrap()).await;
    assert_eq!(verdicts(&judged), vec![Verdict::Proven; certificates], "{judged:?}");

    // And so does an auditor who was handed the receipts.
    let receipts = network.dir().join("receipts");
    let export = ["receipts", "export", receipts.to_str().unwrap()];
    assert_eq!(relay_command(network, &export).await, ExitCode::SUCCESS);
    let mut expected = vec![FindingKind::RefusalUntrue; 2];
    expected.extend(vec![FindingKind::WinnerMissing; certificates - 2]);
    assert_eq!(audited(network, &receipts).await, expected);
}

/// The file judged by whoever has an auditor's token.
async fn judged_with(network: &Network, file: &[u8], token: String) -> Vec<Judgement> {
    let client = HttpClient::new(ClientOptions::default()).unwrap();
    let link = HttpLedger::new(client, Some(token));
    let mut file = Dispute::parse(file).unwrap();
    file.look_up(network.vendor.address(), &link).await.unwrap();
    judge(&file, &network.vendor.address().id).unwrap()
}

/// The blinding of RFC 9474, by somebody else.
type Blinder = PublicKey<Sha384, PSS, Deterministic>;

/// What an operator holds that is its own payer: certificates with their keys, bought as everybody does.
type Bought = (Token, SigningKey);

/// Buys a pack, with the certificate key `shared` at the last place or at the first one.
async fn buy(network: &Network, seed: u8, shared: Option<(bool, &SigningKey)>) -> Vec<Bought> {
    let issuer = network.vendor.issuer().unwrap();
    let (seed, manifest) = (WalletSeed::from_bytes([seed; 32]), issuer.manifest());
    let secret = seed.grant_secret(&issuer.vendor_id(), 0);
    let code = network.vendor.voucher(PRODUCT).await.unwrap();
    issuer.grant(&secret, &GrantRequest::Voucher { code }).await.unwrap();
    let mut rng = ChaCha20Rng::from_seed(*secret.as_bytes());
    let exponents: Vec<u8> = (0..=4).flat_map(|exponent| [exponent, exponent]).collect();
    let last = exponents.len() - 1;
    let mut waiting = Vec::new();
    for (at, exponent) in exponents.into_iter().enumerate() {
        let exponent = Exponent::new(exponent).unwrap();
        let denomination =
            manifest.issuing(KeyUse::Production, exponent, network.clock.now()).unwrap();
        let key = match shared {
            Some((at_the_end, key)) if at == if at_the_end { last } else { 0 } => {
                SigningKey::from_seed(key.seed())
            }
            _ => SigningKey::generate(&mut rng),
        };
        let token = Token {
            nonce: *key.public().as_bytes(),
            challenge_digest: *manifest.challenge_digest(),
            key_id: denomination.id(),
            authenticator: [0; 256],
        };
        let public = Blinder::from_spki(&denomination.public().spki()).unwrap();
        let blinded = public.blind(&mut DefaultRng, token.signed_part()).unwrap();
        waiting.push((token, key, blinded));
    }
    let items = waiting.iter().map(|(token, _, blinded)| BlindedItem {
        key_id: token.key_id,
        blinded_message: blinded.blind_message.0[..].try_into().unwrap(),
    });
    let request = IssuanceRequest { items: items.collect() };
    let answer = issuer.issue_pack(Some(&secret), &request).await.unwrap();
    let signed = IssuanceAnswer::decode(&answer).unwrap().items;
    let finish = |((mut token, key, blinded), signed): ((Token, _, _), SignedItem)| {
        let public = manifest.key(&token.key_id).unwrap().public();
        let public = Blinder::from_spki(&public.spki()).unwrap();
        let signature = BlindSignature(signed.blind_signature.to_vec());
        let signature = public.finalize(&signature, &blinded, token.signed_part()).unwrap();
        token.authenticator = signature.0[..].try_into().unwrap();
        (token, key)
    };
    waiting.into_iter().zip(signed).map(finish).collect()
}

/// An Ed25519 signature as whoever has the key can make as many of as there are nonces.
fn sign_with_nonce(key: &SigningKey, label: Label, data: &[u8], nonce: u64) -> Signature {
    let hash = Sha512::digest(key.seed());
    let mut scalar: [u8; 32] = hash[..32].try_into().unwrap();
    scalar[0] &= 248;
    scalar[31] = scalar[31] & 127 | 64;
    let (secret, nonce) = (Scalar::from_bytes_mod_order(scalar), Scalar::from(nonce));
    let point = (ED25519_BASEPOINT_POINT * nonce).compress();
    let text = label.as_str().as_bytes();
    let challenge = Sha512::new()
        .chain_update(point.as_bytes())
        .chain_update(key.public().as_bytes())
        .chain_update([text.len() as u8])
        .chain_update(text)
        .chain_update(data)
        .finalize();
    let challenge = Scalar::from_bytes_mod_order_wide(&challenge.into());
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(point.as_bytes());
    signature[32..].copy_from_slice((nonce + challenge * secret).as_bytes());
    Signature::from_bytes(signature)
}

/// An operator without a relay, which sends whatever batches it likes.
struct Operator {
    key: SigningKey,
    receipts: Vec<BatchReceipt>,
}

impl Operator {
    fn id(&self) -> OperatorId {
        OperatorId::of(&self.key.public())
    }

    /// The spend of a certificate here for what `what` stands for, with a nonce of the signature.
    fn item(&self, network: &Network, bought: &Bought, what: u8, nonce: u64) -> RedemptionItem {
        let ((token, key), day) = (bought, network.clock.today());
        let (token, commitment) = (token.clone(), Commitment::from_bytes([what; 32]));
        let signature = Signature::from_bytes([0; 64]);
        let unsigned = RedemptionItem { token, day, commitment, signature };
        let binding = unsigned.binding(&network.vendor.address().id, &self.id());
        let signature = sign_with_nonce(key, Label::Spend, binding.as_bytes(), nonce);
        RedemptionItem { signature, ..unsigned }
    }

    /// Redeems, and keeps the receipt.
    async fn redeem(&mut self, network: &Network, items: Vec<RedemptionItem>) -> RedemptionOutcome {
        let issuer = network.vendor.issuer().unwrap();
        let batch = RedemptionBatch {
            vendor_id: issuer.vendor_id(),
            operator_id: self.id(),
            batch_id: BatchId::from_bytes([self.receipts.len() as u8; 16]),
            items,
        };
        let batch = batch.sign(&self.key);
        let outcome = issuer.redeem(SignedBatch::decode(&batch).unwrap()).await.unwrap();
        self.receipts.push(BatchReceipt { batch, outcome: outcome.clone() });
        RedemptionOutcome::open(&outcome, &issuer.receipt_key().public()).unwrap()
    }
}

/// An operator that is its own payer signs one binding twice with two nonces, and has one certificate key certified under 1 credit and
/// under 16, and sends the second of each in a second batch. Before, the vendor answered `already_accepted` for both, with the leaf of the
/// first, and the operator's tool called three claims proven: that other leaves are there, and that a statement says too little, by
/// 128 credits or by 4,096 where there are such denominations. The auditor found nothing.
/// Now the second signature is the same redemption, which nothing is wrong with, and the second denomination a double spend, which credits
/// nothing: forged claims of both are unfounded, and the auditor who gets the receipts finds nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_signs_twice_or_under_two_denominations_proves_nothing() {
    let network = Network::planned(Plan { relays: 0, ..Plan::default() }).await.unwrap();
    let mut operator = Operator { key: SigningKey::from_seed(&[0x66; 32]), receipts: Vec::new() };
    network.vendor.contract("mallory", &operator.key.public()).await.unwrap();
    let shared = SigningKey::from_seed(&[0x77; 32]);
    let cheap = buy(&network, 1, Some((false, &shared))).await;
    let dear = buy(&network, 2, Some((true, &shared))).await;
    let (low, high, other) = (&cheap[0], dear.last().unwrap(), &cheap[1]);
    assert_eq!(low.0.nonce, high.0.nonce);

    let first = vec![operator.item(&network, low, 1, 11), operator.item(&network, other, 2, 12)];
    let second = vec![operator.item(&network, high, 1, 13), operator.item(&network, other, 2, 14)];
    let outcome = operator.redeem(&network, first).await;
    assert_eq!(outcome.results, [ItemResult::Accepted; 2]);
    let leaves = outcome.leaves;
    let outcome = operator.redeem(&network, second).await;
    let ItemResult::DoubleSpent(double) = outcome.results[0] else { panic!() };
    assert_eq!(double.winner, Winner::Leaf(leaves[0]));
    assert_eq!(outcome.results[1], ItemResult::AlreadyAccepted);
    assert_eq!(outcome.leaves, leaves[1..]);

    // Its tool finds nothing, and so it writes the file by hand.
    let (checked, proofs) = compared(&network, &operator, &leaves).await;
    assert!(checked.agrees(), "{:?}", checked.differences);
    let mut file = Dispute::of(&checked);
    file.receipts = operator.receipts.iter().map(|one| encode_base64url(&one.encode())).collect();
    let claim = |position: usize, with_leaf: bool| {
        let (leaf, proof) = &proofs[position];
        Claim::Leaf {
            what: "another leaf is there".to_owned(),
            receipt: 1,
            position,
            found: leaf_hash(leaf).to_string(),
            leaf: with_leaf.then(|| encode_base64url(leaf)),
            proof: proof.clone(),
        }
    };
    file.claims = vec![claim(0, false), claim(0, true), claim(1, false), claim(1, true)];
    let what = "there was no other spend".to_owned();
    let (leaf, proof) = (encode_base64url(&proofs[0].0), proofs[0].1.clone());
    let winner = Some(ProvenLeaf { leaf, proof });
    file.claims.push(Claim::DoubleSpent { what, receipt: 1, position: 0, winner });
    let what = "refused".to_owned();
    file.claims.push(Claim::Refused { what, receipt: 1, position: 0 });
    let vendor = network.vendor.address().id;
    let judged = verify(file.to_json().as_bytes(), &vendor).unwrap();
    let found: Vec<Verdict> = judged.iter().map(|one| one.verdict).collect();
    use Verdict::{Open, Unfounded};
    // With the bare hash of what was recorded before, the vendor has to show the leaf; with the leaf it has.
    assert_eq!(found, [Unfounded, Unfounded, Open, Unfounded, Unfounded, Unfounded], "{judged:?}");

    let directory = network.dir().join("receipts");
    std::fs::create_dir(&directory).unwrap();
    for (number, receipt) in operator.receipts.iter().enumerate() {
        std::fs::write(directory.join(format!("{number}.receipt")), receipt.encode()).unwrap();
    }
    assert_eq!(audited(&network, &directory).await, []);
}

/// What the operator's tool finds, and of these leaves their bytes with the proofs.
async fn compared(
    network: &Network,
    operator: &Operator,
    leaves: &[u64],
) -> (Checked, Vec<(Vec<u8>, String)>) {
    let (manifest, address) =
        (network.vendor.issuer().unwrap().manifest(), network.vendor.address());
    let keys =
        VendorKeys::new(vec![Manifest::open(manifest.bytes(), &address.id).unwrap()]).unwrap();
    let policy = WitnessPolicy::none();
    let known =
        Known { address, keys: &keys, operator_key: operator.key.public(), policy: &policy };
    let link = HttpLedger::new(HttpClient::new(ClientOptions::default()).unwrap(), None);
    let (vendor_id, operator_id, time) = (address.id, operator.id(), network.clock.now());
    let query = |from| LedgerQuery { vendor_id, operator_id, time, from }.sign(&operator.key);
    let newest = fetch::checkpoint(&link, &known).await.unwrap();
    let size = newest.checkpoint().size;
    let own = fetch::own_leaves(&link, &known, size, query).await.unwrap();
    let note = newest.note().clone();
    let shown = own.clone();
    let mut comparison = Comparison::new(&keys, operator.key.public(), newest, own);
    operator.receipts.iter().for_each(|one| comparison.add_receipt(one.clone(), false));
    let tiles = fetch::tiles(&link, &known, comparison.tiles()).await.unwrap();
    let proof = |index: &u64| {
        let leaf = shown.iter().find(|own| own.index == *index).unwrap().leaf.clone();
        let inclusion = inclusion_proof(&tiles, *index, size).unwrap();
        let proof = LogProof { extra: None, index: *index, inclusion, checkpoint: note.clone() };
        (leaf, proof.encode())
    };
    let proofs = leaves.iter().map(proof).collect();
    (comparison.finish(&tiles), proofs)
}

/// A vendor keeps what a wallet signed for a renewal that it refused, waits until the certificate was spent, and shows it as the spend that
/// came first. Before, renewals were signed as spends, so that the relay ended the lease of an honest wallet and all tools said that all is
/// well. Now it is no answer at all as a spend. As the renewal that it says to be, it costs the lease all the same, and convicts the vendor
/// when the ledger has the days on which that renewal would have to be there.
#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_shows_a_renewal_that_it_refused_is_not_believed_or_is_convicted() {
    let stage = Stage::set(Plan { relays: 1, ..Plan::default() }).await.unwrap();
    let network = &stage.network;
    let relay = &network.relays[0];
    let issuer = network.vendor.issuer().unwrap();
    let (vendor, operator) = (issuer.vendor_id(), relay.address().id);
    let mut bought = buy(network, 3, None).await.into_iter();
    let mut pay = async |what: u8| {
        let (token, key) = bought
            .by_ref()
            .find(|(token, _)| issuer.manifest().key(&token.key_id).unwrap().value().0 >= 2)
            .unwrap();
        let certificate = Certificate::from_parts(token, key).unwrap();
        let (resource_request, today) = (request(what), network.clock.today());
        let payment = Payment::make(
            [&certificate],
            vendor,
            operator,
            today,
            Salt([what; 32]),
            &resource_request,
        );
        let paid = PaidRequest { resource_request, payment };
        client(network, relay).pay(Route::Queues, &paid.encode()).await.unwrap();
        certificate
    };
    let certificate = pay(1).await;
    // The refused request named some newer key; the vendor has none of it in its books.
    let blinded = BlindedItem { key_id: KeyId::from_bytes([5; 32]), blinded_message: [6; 256] };
    let refused = certificate.renew(&vendor, &blinded);
    let (version, receipt_key) = (issuer.manifest().version(), issuer.receipt_key());
    let checkpoint = std::fs::read(ledger_of(network).join("checkpoint")).unwrap();
    let (day, binding) = (network.clock.today(), refused.binding(&vendor));
    let lie = move |request: &scrip_tests::adversary::Request, winner: Winner| {
        if !request.is("POST", "/v1/redemptions") {
            return Act::Honest;
        }
        let batch = SignedBatch::decode(&request.body).unwrap();
        let outcome = RedemptionOutcome {
            vendor_id: vendor,
            operator_id: operator,
            batch_digest: batch.digest(),
            day,
            manifest_version: version,
            results: vec![ItemResult::DoubleSpent(DoubleSpend {
                certificate_key: refused.token.certificate_key().unwrap(),
                other_binding: binding,
                other_signature: refused.signature,
                winner,
            })],
            leaves: Vec::new(),
            checkpoint: checkpoint.clone(),
        };
        Act::Instead(Answer::new(200, media::REDEMPTION_OUTCOME, outcome.sign(&receipt_key)))
    };
    let lie = Arc::new(lie);
    let as_spend = Arc::clone(&lie);
    stage.redeeming.lie(move |request| as_spend(request, Winner::Leaf(0)));
    let redeemed = relay.relay().unwrap().redeem_now().await.unwrap();
    assert_eq!((redeemed.double_spent, redeemed.unanswered.len()), (0, 1), "no answer");

    stage.redeeming.lie(move |request| lie(request, Winner::Renewed(day)));
    let redeemed = relay.relay().unwrap().redeem_now().await.unwrap();
    assert_eq!((redeemed.double_spent, redeemed.unanswered.len()), (1, 0));
    stage.be_honest();
    let receipts = network.dir().join("receipts");
    let export = ["receipts", "export", receipts.to_str().unwrap()];
    assert_eq!(relay_command(network, &export).await, ExitCode::SUCCESS);
    assert_eq!(audited(network, &receipts).await, [], "its renewals may still come");
    network.clock.advance(2 * 86_400);
    pay(2).await;
    network.redeem_all().await.unwrap();
    assert_eq!(audited(network, &receipts).await, [FindingKind::WinnerMissing]);
}

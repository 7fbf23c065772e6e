//! Attacks on keys and on what is told by them: keys under which everybody can sign; and parties that know a wallet again by its clock or by the proxy
//! that it comes through.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::sync::Arc;

use scrip_protocol::address::RelayAddress;
use scrip_protocol::hash::{Label, hash};
use scrip_protocol::id::{OperatorId, encode_base64url};
use scrip_protocol::keys::PublicKey;
use scrip_protocol::limits::COMMAND_STEP;
use scrip_protocol::resource::{COMMAND_HEADER, CommandAuth};
use scrip_protocol::tlog::note::VerifierKey;
use scrip_runtime::clock::{Clock, ManualClock};
use scrip_tests::adversary::{Act, Stage};
use scrip_tests::network::{Network, PRODUCT, Plan};
use scrip_tests::node::passphrase;
use scrip_tests::socks::Socks;
use scrip_wallet::{NewQueue, Wallet};

/// The encodings of the identity and of a point that is not reduced.
fn bad_keys() -> [[u8; 32]; 2] {
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut unreduced = [0xff; 32];
    unreduced[31] = 0x7f;
    [identity, unreduced]
}

/// An operator whose key is of small order: its address is the key's hash, so that a wallet would take everybody's receipts for its own. Nor does a vendor
/// contract with it, nor does anybody follow such a witness.
#[tokio::test(flavor = "multi_thread")]
async fn operators_and_witnesses_with_keys_of_small_order_are_nobody() {
    let stage = Stage::set(Plan { relays: 1, ..Plan::default() }).await.unwrap();
    let wallet = stage.network.wallet("alice").await.unwrap();
    for bad in bad_keys() {
        let text = encode_base64url(&bad);
        let key = text.clone();
        stage.relays[0].lie(move |request| match request.is("GET", "/v1/relay") {
            true => {
                let key = key.clone();
                Act::rewrite(move |truth| truth.with_json(|info| info["operator_key"] = key.into()))
            }
            false => Act::Honest,
        });
        let id = OperatorId::from_bytes(hash(Label::OperatorId, &[&bad]));
        let authority = stage.relays[0].address().to_string();
        assert!(wallet.add_relay(&RelayAddress { id, authority }).await.is_err());
        assert!(text.parse::<PublicKey>().is_err(), "what `operator add` reads");
        for algorithm in [1_u8, 4] {
            let vkey = [&[algorithm], bad.as_slice()].concat();
            let vkey = format!("w.example+00000000+{}", data_encoding::BASE64.encode(&vkey));
            assert!(vkey.parse::<VerifierKey>().is_err());
        }
    }
}

/// Relays compare the clocks of commands. Before, the time was that of the wallet to the second, so that a clock that is off tied whatever it signed. Now
/// what wallets say is the same, whatever their clocks say, within a step of five minutes.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_cannot_tell_wallets_by_their_clocks() {
    let stage = Stage::set(Plan { relays: 2, ..Plan::default() }).await.unwrap();
    // In the middle of a step.
    stage.network.clock.advance(COMMAND_STEP / 2);
    let mut said = Vec::new();
    for (name, skew) in [("early", -140_i64), ("right", 0), ("late", 140)] {
        drop(stage.network.funded_wallet(name, 1).await.unwrap());
        let mut environment = stage.network.environment();
        let now = stage.network.clock.now();
        let skewed = ManualClock::new(scrip_protocol::time::UnixSeconds(
            now.0.checked_add_signed(skew).unwrap(),
        ));
        environment.clock = Arc::new(skewed);
        let place = stage.network.wallet_dir(name);
        let wallet = Wallet::open(&place, passphrase(), environment).await.unwrap();
        let mark = stage.recording.mark();
        let new = NewQueue { name: Some("q".into()), days: 30, ..NewQueue::default() };
        let queue = wallet.create_queue(new).await.unwrap();
        assert!(wallet.mailbox(&queue.name).await.unwrap().next().await.unwrap().is_none());
        wallet.check_leases(None).await.unwrap();
        let times: Vec<u64> = stage
            .recording
            .since(mark)
            .iter()
            .filter_map(|exchange| exchange.request.header(COMMAND_HEADER).map(str::to_owned))
            .map(|header| CommandAuth::from_header(&header).unwrap().time.0)
            .collect();
        assert!(times.len() >= 2, "{times:?}");
        assert!(times.iter().all(|time| time.is_multiple_of(COMMAND_STEP)), "{times:?}");
        said.push(times.into_iter().collect::<BTreeSet<u64>>());
    }
    assert_eq!(said[0], said[1]);
    assert_eq!(said[1], said[2]);
}

/// A proxy that is given as `socks5h://` may be Tor all the same. Before, everything came to it without a name, and Tor may put that onto one circuit; now
/// each purchase and each resource comes under a name of its own, as with `tor://`.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_cannot_tie_purchases_and_resources_together() {
    let network = Network::start().await.unwrap();
    let proxy = Socks::start().await.unwrap();
    assert!(proxy.setting().starts_with("socks5h://"));
    drop(network.wallet("alice").await.unwrap());
    let mut environment = network.environment();
    environment.network.proxy_buy = Some(proxy.setting().parse().unwrap());
    environment.network.proxy_spend = Some(proxy.setting().parse().unwrap());
    let place = network.wallet_dir("alice");
    let wallet = Wallet::open(&place, passphrase(), environment).await.unwrap();
    let mut all = BTreeSet::new();
    let mut names = || -> BTreeSet<String> {
        let visits = proxy.visits().into_iter().map(|visit| visit.user);
        let new: BTreeSet<String> = visits.filter(|user| !all.contains(user)).collect();
        all.extend(new.iter().cloned());
        new
    };
    let mut purposes = Vec::new();
    for _ in 0..2 {
        wallet.buy(&network.vendor.voucher(PRODUCT).await.unwrap()).await.unwrap();
        purposes.push(names());
    }
    for name in ["a", "b"] {
        let relay = Some(network.relays[0].address().clone());
        let new = NewQueue { name: Some(name.into()), relay, days: 30, ..NewQueue::default() };
        wallet.create_queue(new).await.unwrap();
        purposes.push(names());
    }
    // Names that are new with each purpose: none is used again for another.
    assert!(purposes.iter().all(|names| !names.is_empty()), "{purposes:?}");
    assert!(!all.contains(""), "nothing comes without a name");
    let of_vendor =
        |visit: &scrip_tests::socks::Visit| visit.target == network.vendor.address().authority;
    let (buying, spending): (Vec<_>, Vec<_>) = proxy.visits().into_iter().partition(of_vendor);
    let buying: BTreeSet<String> = buying.into_iter().map(|visit| visit.user).collect();
    assert!(spending.iter().all(|visit| !buying.contains(&visit.user)));
}

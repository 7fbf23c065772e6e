//! What every database must do, run on each: SQLite, and PostgreSQL with one pool and with two.

mod ledger;
mod marks;
mod purchases;
mod settlement;
mod sqlite;

use std::sync::Arc;

use futures_util::future::join_all;
use scrip_protocol::{
    credits::{Credits, Exponent},
    id::{BatchDigest, GrantId, KeyId, OperatorId, VendorId},
    keys::{Signature, SigningKey},
    limits::MAX_RENEWAL_REFUSALS,
    manifest::Classes,
    problem::ProblemType,
    redemption::{InvalidReason, ItemResult, RedemptionItem},
    renewal::Renewal,
    spend::{Binding, Commitment},
    time::Day,
    token::Token,
};
use scrip_runtime::steps::Steps;

use super::{
    Act, Action, AddedBatch, AddedOperator, BatchRecord, Decision, GrantRow, KeyMaterial,
    ManifestVersion, Minted, NewOperator, NewPurchase, NewRenewal, NewVoucher, NewVoucherBatch,
    OperatorRow, PurchaseRecorded, Recorded, RecordedSpend, RefusedRenewal, SealedKey, SpendRecord,
    Store, StoreError, StoredPack, TokenTaken, TxError, dump::everything,
};
use crate::{
    config::sqlite_url,
    pack::Pack,
    sources::TransactionId,
    testing::{Setup, postgres::Cluster},
};

const TODAY: Day = Day(20_500);

fn exponent(k: u8) -> Exponent {
    Exponent::new(k).unwrap()
}

fn grant_id(number: u8) -> GrantId {
    GrantId::from_bytes([number; 32])
}

fn voucher(number: u8) -> NewVoucher {
    NewVoucher { code_hash: [number; 32], product: "starter".into(), last_day: TODAY }
}

/// One batch however often it is asked for at once, its codes used and cancelled.
async fn batches_are_made_once(stores: &[Store]) {
    let store = &stores[0];
    let attempts = (210..216).map(|n: u8| {
        let (store, codes) =
            (&stores[usize::from(n) % stores.len()], [voucher(n), voucher(n + 20)]);
        async move { add_vouchers(store, 77, &codes).await.unwrap() }
    });
    let made = join_all(attempts).await;
    let added: Vec<u8> = (210..)
        .zip(&made)
        .filter(|(_, made)| matches!(made, AddedBatch::Added(_)))
        .map(|(n, _)| n)
        .collect();
    assert_eq!(added.len(), 1, "{made:?}");
    let batches = store.voucher_batches().await.unwrap();
    let batch = &batches[0];
    assert_eq!((batch.vouchers, batch.used, batch.credits), (2, 0, Credits(19)));
    assert!(made.iter().all(
        |made| matches!(made, AddedBatch::Added(n) | AddedBatch::Before(n) if *n == batch.batch)
    ));

    let purchase = purchase("voucher", &voucher(added[0]).code_hash, grant_id(250));
    store.record_purchase(&purchase).await.unwrap();
    let cancel = async |batch| store.cancel_vouchers(batch, TODAY, &act()).await.unwrap();
    assert_eq!(cancel(batch.batch).await, Some(1));
    assert_eq!(cancel(batch.batch).await, Some(0));
    assert_eq!(cancel(9_999).await, None);
    let batches = stores[stores.len() - 1].voucher_batches().await.unwrap();
    assert_eq!((batches[0].used, batches[0].cancelled), (1, Some(TODAY)));
    let last_day =
        async |n| store.voucher(&voucher(n).code_hash).await.unwrap().unwrap().voucher.last_day;
    assert_eq!(last_day(added[0]).await, TODAY, "it was used and stays what it was");
    assert_eq!(last_day(added[0] + 20).await, Day(0));
}

async fn add_vouchers(
    store: &Store,
    nonce: u8,
    vouchers: &[NewVoucher],
) -> Result<AddedBatch, StoreError> {
    let new = NewVoucherBatch {
        operator: None,
        nonce: [nonce; 16],
        product: "starter".into(),
        credits: Credits(19),
        made: TODAY,
        last_day: TODAY,
    };
    store.add_vouchers(&new, vouchers, &act()).await
}

fn act() -> Act {
    Act::by_command(TODAY.start(), Action::OperatorAdd, "one")
}

fn purchase(source: &'static str, transaction: &[u8], grant_id: GrantId) -> NewPurchase {
    NewPurchase {
        source,
        transaction: TransactionId::new(transaction),
        grant_id,
        grant: GrantRow::new("starter", sold()),
        day: TODAY,
        account: None,
        order: None,
        settles: false,
        parent: None,
        budget: None,
        reseller: None,
        lapsed: false,
    }
}

fn sold() -> Pack {
    Pack::new([(exponent(0), 3), (exponent(4), 1)]).unwrap()
}

fn pack(number: u8) -> StoredPack {
    StoredPack { request_digest: [number; 32], answer: vec![number; 700] }
}

/// A spend of the certificate `key` for what `resource` stands for.
fn spend(key: u16, resource: u8) -> SpendRecord {
    let mut nonce = [0; 32];
    nonce[..2].copy_from_slice(&key.to_be_bytes());
    let token = Token {
        nonce,
        challenge_digest: [1; 32],
        key_id: KeyId::from_bytes([2; 32]),
        authenticator: [3; 256],
    };
    let item = RedemptionItem {
        token,
        day: TODAY,
        commitment: Commitment::from_bytes([resource; 32]),
        signature: Signature::from_bytes([resource; 64]),
    };
    SpendRecord {
        epoch: 1,
        exponent: exponent((key % 13) as u8),
        binding: Binding::from_bytes([resource; 32]),
        item,
        expired: false,
        invalid: None,
    }
}

fn batch(number: u8, items: Vec<SpendRecord>) -> BatchRecord {
    BatchRecord {
        number: i64::from(number),
        digest: BatchDigest::from_bytes([number; 32]),
        operator: 1,
        day: TODAY,
        manifest_version: 1,
        items: items.into_iter().map(Decision::Spend).collect(),
        in_line: true,
    }
}

async fn record(store: &Store, batch: &BatchRecord) -> Vec<ItemResult> {
    store.record_batch(batch, &Steps::none()).await.unwrap().results
}

fn is_double_spend_of(result: &ItemResult, resource: u8) -> bool {
    matches!(result, ItemResult::DoubleSpent(proof)
        if proof.other_binding == Binding::from_bytes([resource; 32])
        && proof.other_signature == Signature::from_bytes([resource; 64]))
}

/// The suite. `stores` are open on one empty database.
async fn conforms(stores: &[Store]) {
    let store = &stores[0];
    keys_are_stored_once(store).await;
    one_of_many_publishes_a_version(stores).await;
    vouchers_become_grants_once(store).await;
    packs_are_stored_once(stores).await;
    tokens_stay_within_the_pack(stores).await;
    operators_are_distinct(stores).await;
    batches_are_decided(store).await;
    damaged_items_take_nothing(store).await;
    full_batches_fit(store).await;
    exactly_one_of_concurrent_spends_wins(stores).await;
    one_batch_sent_twice_at_once_is_decided_once(stores).await;
    crossing_batches_do_not_block_each_other(stores).await;
    of_a_spend_and_its_renewals_one_is_recorded(stores).await;
    what_was_renewed_is_answered_from_the_record(store).await;
    of_a_renewal_and_its_refusal_one_is_recorded(stores).await;
    what_was_refused_is_never_taken(store).await;
    a_failed_transaction_leaves_nothing(store).await;
    the_books_add_up(store).await;
    what_is_past_is_dropped(stores).await;
    batches_are_made_once(stores).await;
    what_is_done_is_logged_in_one_order(stores).await;
    ledger::conforms(stores).await;
}

async fn keys_are_stored_once(store: &Store) {
    assert!(matches!(store.kdf_header().await, Err(StoreError::NotInitialised)));
    assert!(matches!(store.manifest().await, Err(StoreError::NotInitialised)));
    let key = |name: &str, byte| SealedKey { name: name.into(), sealed: vec![byte; 40] };
    let version = |version, byte, keys| ManifestVersion {
        vendor_id: VendorId::from_bytes([byte; 32]),
        version,
        manifest: vec![byte; 5_000],
        keys,
    };
    let material = |byte| {
        let keys = ["root", "denomination/1/0", "denomination/1/1"];
        let version = version(1, byte, keys.map(|name| key(name, byte)).into());
        KeyMaterial { kdf_header: vec![byte; 37], version }
    };
    assert_eq!(store.manifest_version().await.unwrap(), 0);
    assert!(store.initialise(&material(1)).await.unwrap());
    assert!(!store.initialise(&material(2)).await.unwrap());
    assert_eq!(store.kdf_header().await.unwrap(), [1; 37]);
    assert_eq!(store.manifest().await.unwrap(), (VendorId::from_bytes([1; 32]), vec![1; 5_000]));
    let names: Vec<String> =
        store.sealed_keys("denomination/").await.unwrap().into_iter().map(|key| key.name).collect();
    assert_eq!(names, ["denomination/1/0", "denomination/1/1"]);
    assert_eq!(store.manifest_version().await.unwrap(), 1);
    assert!(
        !store.publish(&version(1, 3, vec![key("denomination/2/0", 3)]), &act()).await.unwrap()
    );
    assert_eq!(store.sealed_keys("denomination/").await.unwrap().len(), 2, "discarded");
}

/// Eight processes make the next epoch at once.
async fn one_of_many_publishes_a_version(stores: &[Store]) {
    let version = |byte: u8| ManifestVersion {
        vendor_id: VendorId::from_bytes([1; 32]),
        version: 2,
        manifest: vec![byte; 700],
        keys: vec![SealedKey { name: "denomination/2/0".into(), sealed: vec![byte; 40] }],
    };
    let attempts = (10..18).map(|byte: u8| {
        let (store, version) = (&stores[usize::from(byte) % stores.len()], version(byte));
        async move { store.publish(&version, &act()).await.unwrap() }
    });
    let won: Vec<bool> = join_all(attempts).await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    let winner = 10 + won.iter().position(|won| *won).unwrap() as u8;
    for store in stores {
        assert_eq!(store.manifest_version().await.unwrap(), 2);
        assert_eq!(store.manifest().await.unwrap().1, [winner; 700]);
        let keys = store.sealed_keys("denomination/2/").await.unwrap();
        assert_eq!((keys.len(), keys[0].sealed[0]), (1, winner));
    }
}

async fn vouchers_become_grants_once(store: &Store) {
    add_vouchers(store, 1, &[voucher(1), voucher(2), voucher(3)]).await.unwrap();
    let taken = add_vouchers(store, 2, &[voucher(4), voucher(1)]).await;
    assert!(matches!(taken, Err(StoreError::Contention { .. })), "a code that exists");
    assert_eq!(
        store.voucher(&[4; 32]).await.unwrap().map(|v| v.voucher.last_day),
        None,
        "all or nothing"
    );
    assert_eq!(store.voucher(&[1; 32]).await.unwrap().unwrap().voucher.product, "starter");
    let use_it = async |code: u8, grant: u8, lapsed: bool| {
        let new = NewPurchase { lapsed, ..purchase("voucher", &[code; 32], grant_id(grant)) };
        store.record_purchase(&new).await.unwrap()
    };
    assert_eq!(use_it(1, 1, true).await, PurchaseRecorded::Lapsed);
    let PurchaseRecorded::Granted(grant, true) = use_it(1, 1, false).await else {
        panic!("granted")
    };
    assert_eq!((grant.product.as_str(), grant.minted), ("starter", Minted::Nothing));
    assert_eq!(grant.pack, sold());
    assert_eq!(use_it(1, 1, true).await, PurchaseRecorded::Granted(grant.clone(), true));
    assert_eq!(use_it(1, 2, false).await, PurchaseRecorded::Used);
    assert_eq!(use_it(2, 1, false).await, PurchaseRecorded::GrantUsed);
    assert!(matches!(use_it(2, 2, false).await, PurchaseRecorded::Granted(..)));
    assert_eq!(store.grant(&grant_id(1)).await.unwrap(), Some(grant));
    assert_eq!(store.grant(&grant_id(9)).await.unwrap(), None);
}

async fn packs_are_stored_once(stores: &[Store]) {
    let id = grant_id(1);
    let counts = [((1, 0), 3), ((1, 4), 1)];
    let attempts = (0..8).map(|number: u8| {
        let store = &stores[usize::from(number) % stores.len()];
        let counts = &counts;
        async move { store.store_pack(&id, &pack(number), counts, TODAY).await.unwrap() }
    });
    let won: Vec<bool> = join_all(attempts).await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    let winner = won.iter().position(|won| *won).unwrap() as u8;
    for store in stores {
        let (grant, stored) = store.grant_with_pack(&id).await.unwrap().unwrap();
        assert_eq!((grant.minted, stored), (Minted::Pack, Some(pack(winner))));
    }
    let taken = stores[0].take_token(&id, &[1; 32], (1, exponent(0)), 3, b"x", TODAY).await;
    assert_eq!(taken.unwrap(), TokenTaken::GrantUsed);
    assert!(stores[0].grant_with_pack(&grant_id(9)).await.unwrap().is_none());
}

async fn tokens_stay_within_the_pack(stores: &[Store]) {
    let id = grant_id(2);
    let attempts =
        (0..12).map(|number: u8| {
            let store = &stores[usize::from(number) % stores.len()];
            async move {
                store.take_token(&id, &[number; 32], (1, exponent(0)), 3, &[number], TODAY).await
            }
        });
    let taken: Vec<TokenTaken> = join_all(attempts).await.into_iter().map(Result::unwrap).collect();
    let stored: Vec<u8> =
        (0..12).filter(|number| taken[usize::from(*number)] == TokenTaken::Stored).collect();
    assert_eq!(stored.len(), 3);
    let store = &stores[0];
    assert_eq!(store.tokens_taken(&id, exponent(0)).await.unwrap(), 3);
    assert_eq!(store.tokens_taken(&id, exponent(4)).await.unwrap(), 0);
    let first = stored[0];
    let again =
        store.take_token(&id, &[first; 32], (1, exponent(0)), 3, b"other", TODAY).await.unwrap();
    assert_eq!(again, TokenTaken::Before(vec![first]));
    let other = store.take_token(&id, &[50; 32], (1, exponent(4)), 1, b"y", TODAY).await.unwrap();
    assert_eq!(other, TokenTaken::Stored);
    assert!(!store.store_pack(&id, &pack(1), &[], TODAY).await.unwrap());
    let (grant, answer) = store.grant_with_token(&id, &[50; 32]).await.unwrap().unwrap();
    assert_eq!((grant.minted, answer), (Minted::Tokens, Some(b"y".to_vec())));
}

async fn operators_are_distinct(stores: &[Store]) {
    let store = &stores[0];
    let add = |number: u8, name: &'static str, store: Store| async move {
        let key = SigningKey::from_seed(&[number; 32]).public();
        let (addresses, classes) = (&[String::from("a:1"), "b".into()], Classes::ALL);
        let new = NewOperator { key: &key, name, addresses, classes };
        store.add_operator(&new, TODAY, &act()).await.unwrap()
    };
    assert_eq!(add(1, "one", store.clone()).await, AddedOperator::Added);
    assert_eq!(add(1, "one", store.clone()).await, AddedOperator::Before);
    let taken = AddedOperator::KeyTaken { name: "one".into() };
    assert_eq!(add(1, "two", store.clone()).await, taken);
    assert_eq!(add(2, "One", store.clone()).await, AddedOperator::NameTaken);
    let names = ["a", "b", "c", "d"];
    let added = names.iter().zip(10..).map(|(name, number)| {
        add(number, name, stores[usize::from(number) % stores.len()].clone())
    });
    assert!(join_all(added).await.iter().all(|added| *added == AddedOperator::Added));
    let numbers: Vec<i64> = store.operators().await.unwrap().iter().map(|o| o.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    let queues = Classes { queues: true, chunks: false };
    assert!(store.list_operator("one", &["c:3".into()], queues, &act()).await.unwrap());
    assert!(!store.list_operator("none", &[], queues, &act()).await.unwrap());
    let listed = |row: &OperatorRow| (row.name.clone(), row.addresses.join(","), row.classes);
    let all: Vec<_> = store.operators().await.unwrap().iter().map(listed).collect();
    assert_eq!(all[0], ("one".into(), "c:3".into(), queues));
    assert!(all[1..].iter().all(|one| (one.1.as_str(), one.2) == ("a:1,b", Classes::ALL)));
    let id = OperatorId::of(&SigningKey::from_seed(&[1; 32]).public());
    let found = store.operator(&id).await.unwrap().unwrap();
    assert_eq!((found.name.as_str(), found.added, found.number), ("one", TODAY, 1));
    assert!(store.operator(&OperatorId::from_bytes([99; 32])).await.unwrap().is_none());
}

/// The renewal of the certificate `key` into what `blinded` stands for.
fn renewal(key: u16, blinded: u8) -> NewRenewal {
    let SpendRecord { epoch, exponent, item, .. } = spend(key, 0);
    NewRenewal {
        number: i64::from(key) * 256 + i64::from(blinded),
        day: TODAY,
        token: item.token,
        epoch,
        new_epoch: epoch + 1,
        exponent,
        binding: Binding::from_bytes([blinded; 32]),
        renewal: Renewal {
            key_id: KeyId::from_bytes([blinded; 32]),
            blinded_message: [blinded; 256],
            blind_signature: [blinded; 256],
            signature: Signature::from_bytes([blinded; 64]),
        },
    }
}

async fn renew(store: &Store, item: NewRenewal) -> Recorded {
    let recorded = store.record_renewal(&item, &Steps::none()).await.unwrap();
    assert_eq!(
        store.recorded(&(item.epoch, item.token.nonce), &item.binding).await.unwrap(),
        recorded
    );
    recorded.unwrap()
}

/// Four processes redeem what four others renew, in opposite orders.
async fn of_a_spend_and_its_renewals_one_is_recorded(stores: &[Store]) {
    let attempts = (0..8_u8).map(|number| {
        let store = &stores[usize::from(number) % stores.len()];
        let mut keys: Vec<u16> = (7_000..7_050).collect();
        if number % 4 > 1 {
            keys.reverse();
        }
        async move {
            if number % 2 == 0 {
                let batch = batch(220 + number, keys.iter().map(|k| spend(*k, number)).collect());
                let results = record(store, &batch).await.into_iter();
                let won: Vec<bool> = results.map(|r| r == ItemResult::Accepted).collect();
                (keys, won)
            } else {
                let own = Recorded::Renewed(renewal(7_000, number).renewal);
                let mut won = Vec::new();
                for key in &keys {
                    won.push(renew(store, renewal(*key, number)).await == own);
                }
                (keys, won)
            }
        }
    });
    let mut winners = vec![0; 50];
    for (keys, won) in join_all(attempts).await {
        for (key, _) in keys.iter().zip(won).filter(|(_, won)| *won) {
            winners[usize::from(key - 7_000)] += 1;
        }
    }
    assert_eq!(winners, [1; 50]);
}

async fn what_was_renewed_is_answered_from_the_record(store: &Store) {
    let results = record(store, &batch(240, vec![spend(7_100, 1)])).await;
    assert_eq!(results, [ItemResult::Accepted]);
    let spent = RecordedSpend {
        binding: Binding::from_bytes([1; 32]),
        signature: Signature::from_bytes([1; 64]),
        renewed: None,
    };
    let renewed = Recorded::Renewed(renewal(7_101, 2).renewal);
    assert_eq!(renew(store, renewal(7_101, 2)).await, renewed);
    assert_eq!(renew(store, renewal(7_100, 2)).await, Recorded::Spent(spent));
    let before = everything(store).await;
    assert_eq!(renew(store, renewal(7_101, 3)).await, renewed);
    assert_eq!(everything(store).await, before);
    // A relay that was paid with it gets the proof.
    assert!(is_double_spend_of(&record(store, &batch(241, vec![spend(7_101, 9)])).await[0], 2));
    let nothing = store.recorded(&(9, [9; 32]), &Binding::from_bytes([9; 32])).await.unwrap();
    assert!(nothing.is_none());
}

async fn refuse(store: &Store, item: &NewRenewal) -> Option<Recorded> {
    let refused =
        RefusedRenewal { day: TODAY, manifest_version: 7, problem: ProblemType::RenewalClosed };
    let name = (item.epoch, item.token.nonce);
    store.refuse_renewal(&name, &item.binding, refused, &Steps::none()).await.unwrap()
}

/// Four processes take what four others refuse, each request at once: each is taken or refused, and never both.
async fn of_a_renewal_and_its_refusal_one_is_recorded(stores: &[Store]) {
    let attempts = (0..8_u8).map(|number| {
        let store = &stores[usize::from(number) % stores.len()];
        async move {
            let mut told = Vec::new();
            for key in 7_200..7_240 {
                let item = renewal(key, 5);
                told.push(match number % 2 {
                    0 => renew(store, item).await,
                    _ => refuse(store, &item).await.unwrap(),
                });
            }
            told
        }
    });
    let told = join_all(attempts).await;
    for at in 0..40 {
        assert!(told.iter().all(|all| all[at] == told[0][at]), "all are told the same");
    }
}

async fn what_was_refused_is_never_taken(store: &Store) {
    let Some(Recorded::Refused(refused)) = refuse(store, &renewal(7_110, 1)).await else {
        panic!("not refused");
    };
    assert_eq!((refused.day, refused.manifest_version), (TODAY, 7));
    let before = everything(store).await;
    assert_eq!(renew(store, renewal(7_110, 1)).await, Recorded::Refused(refused));
    assert_eq!(refuse(store, &renewal(7_110, 1)).await, Some(Recorded::Refused(refused)));
    assert_eq!(everything(store).await, before);
    // Another renewal of the same certificate is taken, and what is recorded then comes first.
    let renewed = Recorded::Renewed(renewal(7_110, 2).renewal);
    assert_eq!(renew(store, renewal(7_110, 2)).await, renewed);
    assert_eq!(refuse(store, &renewal(7_110, 1)).await, Some(renewed.clone()));
    assert_eq!(refuse(store, &renewal(7_110, 3)).await, Some(renewed), "nothing to refuse");
    // It is not spent by that.
    refuse(store, &renewal(7_111, 1)).await.unwrap();
    let results = record(store, &batch(242, vec![spend(7_111, 1)])).await;
    assert_eq!(results, [ItemResult::Accepted]);
    for blinded in 0..MAX_RENEWAL_REFUSALS as u8 {
        refuse(store, &renewal(7_112, blinded)).await.unwrap();
    }
    assert_eq!(refuse(store, &renewal(7_112, 99)).await, None);
    assert!(matches!(refuse(store, &renewal(7_112, 0)).await, Some(Recorded::Refused(_))));
}

async fn batches_are_decided(store: &Store) {
    let first = batch(1, vec![spend(1, 1), spend(2, 1), spend(1, 1), spend(2, 2)]);
    let results = record(store, &first).await;
    assert_eq!(
        results[..3],
        [ItemResult::Accepted, ItemResult::Accepted, ItemResult::AlreadyAccepted]
    );
    assert!(is_double_spend_of(&results[3], 1));
    let before = everything(store).await;
    assert_eq!(record(store, &first).await, results, "from the record");
    assert_eq!(everything(store).await, before);

    let results = record(store, &batch(2, vec![spend(1, 1), spend(2, 3), spend(3, 3)])).await;
    assert_eq!(results[0], ItemResult::AlreadyAccepted);
    assert!(is_double_spend_of(&results[1], 1));
    assert_eq!(results[2], ItemResult::Accepted);
    let other_epoch = SpendRecord { epoch: 2, ..spend(1, 9) };
    assert_eq!(record(store, &batch(3, vec![other_epoch])).await, [ItemResult::Accepted]);
}

async fn damaged_items_take_nothing(store: &Store) {
    let invalid = |key| SpendRecord { invalid: Some(InvalidReason::Day), ..spend(key, 1) };
    let expired = |key| SpendRecord { expired: true, ..spend(key, 1) };
    let mut mixed = batch(4, vec![invalid(4), expired(5), expired(1), invalid(1)]);
    mixed.items.push(Decision::Unknown(InvalidReason::Key));
    let results = record(store, &mixed).await;
    let invalid = |reason| ItemResult::Invalid(reason);
    assert_eq!(
        results,
        [
            invalid(InvalidReason::Day),
            ItemResult::Expired,
            ItemResult::AlreadyAccepted,
            invalid(InvalidReason::Day),
            invalid(InvalidReason::Key),
        ]
    );
    let results = record(store, &batch(5, vec![spend(4, 2), spend(5, 2)])).await;
    assert_eq!(results, [ItemResult::Accepted; 2]);
}

async fn full_batches_fit(store: &Store) {
    let items = |resource| (1_000..2_024).map(|key| spend(key, resource)).collect();
    assert_eq!(record(store, &batch(6, items(1))).await, vec![ItemResult::Accepted; 1_024]);
    let results = record(store, &batch(7, items(2))).await;
    assert!(results.iter().all(|result| is_double_spend_of(result, 1)));
}

/// 64 operators redeem one certificate at once.
async fn exactly_one_of_concurrent_spends_wins(stores: &[Store]) {
    let batches: Vec<BatchRecord> =
        (100..164).map(|number| batch(number, vec![spend(3_000, number)])).collect();
    let attempts = batches.iter().enumerate().map(|(at, batch)| {
        let store = &stores[at % stores.len()];
        async move { record(store, batch).await[0] }
    });
    let results: Vec<ItemResult> = join_all(attempts).await;
    let winner = results.iter().position(|result| *result == ItemResult::Accepted).unwrap();
    for (at, result) in results.iter().enumerate().filter(|(at, _)| *at != winner) {
        assert!(is_double_spend_of(result, 100 + winner as u8), "{at}: {result:?}");
    }
}

async fn one_batch_sent_twice_at_once_is_decided_once(stores: &[Store]) {
    // Two processes draw different numbers for one batch.
    let batches: Vec<BatchRecord> = (0..8)
        .map(|number| BatchRecord {
            digest: BatchDigest::from_bytes([200; 32]),
            ..batch(200 + number, vec![spend(4_000, 1), spend(4_001, 1), spend(4_000, 2)])
        })
        .collect();
    let attempts = batches.iter().enumerate().map(|(at, batch)| {
        let store = &stores[at % stores.len()];
        async move { record(store, batch).await }
    });
    let results = join_all(attempts).await;
    assert!(results.iter().all(|one| *one == results[0]));
    assert_eq!(results[0][..2], [ItemResult::Accepted; 2]);
    assert!(is_double_spend_of(&results[0][2], 1));
}

/// Batches over the same certificates in opposite orders.
async fn crossing_batches_do_not_block_each_other(stores: &[Store]) {
    let batches: Vec<BatchRecord> = (0..8)
        .map(|number: u8| {
            let mut items: Vec<_> = (5_000..5_200).map(|key| spend(key, number)).collect();
            if number % 2 == 1 {
                items.reverse();
            }
            batch(210 + number, items)
        })
        .collect();
    let attempts = batches.iter().enumerate().map(|(at, batch)| {
        let store = &stores[at % stores.len()];
        async move { record(store, batch).await }
    });
    let results = join_all(attempts).await;
    let accepted = results.iter().flatten().filter(|result| **result == ItemResult::Accepted);
    assert_eq!(accepted.count(), 200);
}

/// Two processes drop epoch 1, and nothing of epoch 2; days are dropped by themselves.
async fn what_is_past_is_dropped(stores: &[Store]) {
    let store = &stores[0];
    let other_epoch = SpendRecord { epoch: 2, ..spend(6_000, 1) };
    record(store, &batch(230, vec![spend(6_000, 1), other_epoch])).await;
    let later = BatchRecord { day: Day(TODAY.0 + 1), ..batch(231, vec![spend(6_001, 1)]) };
    record(store, &later).await;
    let before = everything(store).await;
    let of_epoch_2 = 2; // with that of `batches_are_decided`
    let mut left = true;
    while left {
        let round = (0..8).map(|at| stores[at % stores.len()].drop_spent(1, 100));
        left = join_all(round).await.into_iter().any(|dropped| dropped.unwrap() > 0);
    }
    let after = everything(store).await;
    assert_eq!((after["spent"].len(), after["evidence"].len()), (of_epoch_2, of_epoch_2));
    assert_eq!(after["redeemed"], before["redeemed"], "the sums stay");
    assert_eq!(store.drop_spent(1, 100).await.unwrap(), 0);

    assert_eq!(store.drop_batches(TODAY, 100).await.unwrap(), 0);
    assert_eq!(store.drop_batches(Day(TODAY.0 + 1), 1).await.unwrap(), 1);
    while store.drop_batches(Day(TODAY.0 + 1), 10).await.unwrap() > 0 {}
    assert_eq!(everything(store).await["batches"].len(), 1);

    let names = ["denomination/1/0", "nothing"].map(String::from);
    assert_eq!(store.drop_keys(&names).await.unwrap(), 1);
    assert_eq!(store.sealed_keys("denomination/1/").await.unwrap().len(), 1);
}

async fn a_failed_transaction_leaves_nothing(store: &Store) {
    let before = everything(store).await;
    let failed = store.run_tx("fails", |tx| {
        Box::pin(async move {
            let sql = "-- fails()
                INSERT INTO spent (epoch, certificate_key, batch, position, binding)
                VALUES (1, $1, 1, 1, $1)";
            sqlx::query(sql).bind(vec![1_u8; 32]).execute(tx.connection()).await?;
            Err::<(), _>(TxError::Final(StoreError::Damaged { table: "none" }))
        })
    });
    assert!(matches!(failed.await, Err(StoreError::Damaged { table: "none" })));
    let wrong = store.run_tx("wrong", |tx| {
        Box::pin(async move {
            sqlx::query("-- wrong()\nSELECT nothing FROM nowhere").execute(tx.connection()).await?;
            Ok(())
        })
    });
    assert!(matches!(wrong.await, Err(StoreError::Failed { transaction: "wrong", .. })));
    assert_eq!(everything(store).await, before);
}

async fn the_books_add_up(store: &Store) {
    let status = store.status().await.unwrap();
    assert_eq!((status.vouchers, status.vouchers_used), (3, 2));
    assert_eq!((status.grants, status.grants_minted), (2, 2));
    let issued: u64 = status.denominations.iter().map(|(_, count)| count.issued).sum();
    let in_the_place_of_others: u64 =
        status.denominations.iter().map(|(_, count)| count.renewed).sum();
    assert_eq!(issued, 4 + 4 + in_the_place_of_others, "a pack, four tokens, renewals");
    let redeemed: u64 = status.denominations.iter().map(|(_, count)| count.redeemed).sum();
    let renewed: u64 = status.denominations.iter().map(|(_, count)| count.renewed).sum();
    let tables = everything(store).await;
    assert_eq!(redeemed + renewed, tables["spent"].len() as u64);
    assert_eq!(redeemed, tables["evidence"].len() as u64);
    assert_eq!(renewed, tables["renewals"].len() as u64);
    let (operator, counts) = &status.operators[0];
    assert_eq!(operator.number, 1);
    assert_eq!(counts.iter().map(|count| count.certificates).sum::<u64>(), redeemed);
}

/// Many processes log at once: no entry is lost, and none has the number of another.
async fn what_is_done_is_logged_in_one_order(stores: &[Store]) {
    let before = stores[0].admin_log(None, 100).await.unwrap();
    let attempts = (0..8).map(|n: usize| {
        let act = Act::by("ada", TODAY.start(), Action::Login, format!("{n}"));
        let store = &stores[n % stores.len()];
        async move { store.log_admin(&act).await.unwrap() }
    });
    join_all(attempts).await;
    let log = stores[0].admin_log(None, 100).await.unwrap();
    assert_eq!(log.len(), before.len() + 8);
    let numbers: Vec<u64> = log.iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, (1..=log.len() as u64).rev().collect::<Vec<_>>());
    assert_eq!(log[8..], before, "nothing was changed");
    let older = stores[0].admin_log(Some(numbers[7]), 3).await.unwrap();
    assert_eq!(older, before[..before.len().min(3)]);
}

async fn open(url: &str) -> Store {
    Store::open(url, 8, true).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let url = sqlite_url(&directory.path().join("test.db"));
    conforms(&[open(&url).await]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_conforms_with_two_processes_on_one_file() {
    let directory = tempfile::tempdir().unwrap();
    let url = sqlite_url(&directory.path().join("test.db"));
    conforms(&[open(&url).await, open(&url).await]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_conforms_with_one_pool_and_with_two() {
    let Some(cluster) = Cluster::start("the store on PostgreSQL") else { return };
    conforms(&[open(&cluster.database().unwrap()).await]).await;
    let url = cluster.database().unwrap();
    conforms(&[open(&url).await, open(&url).await]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_conforms_at_its_strictest_level() {
    let Some(cluster) = Cluster::start("the store on PostgreSQL, serializable") else { return };
    let url = cluster.database().unwrap();
    let url = format!("{url}&options=-c%20default_transaction_isolation=serializable");
    conforms(&[open(&url).await, open(&url).await]).await;
}

#[tokio::test]
async fn two_issuers_on_one_postgres_are_one_vendor() {
    let Some(cluster) = Cluster::start("two issuers on one PostgreSQL") else { return };
    let mut setup = Setup::new(cluster.database().unwrap()).unwrap();
    setup.config.ledger.store = Some(cluster.ledger());
    let (one, two) = (setup.init().await.unwrap(), setup.open().await.unwrap());
    let (one, two) = (Arc::new(one), Arc::new(two));
    crate::tests::two_issuers::race(&one, &two).await;
    crate::tests::renewal::race(&one, &two).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn contracts_and_statements_have_one_order() {
    let directory = tempfile::tempdir().unwrap();
    let url = sqlite_url(&directory.path().join("test.db"));
    settlement::conform(&[open(&url).await, open(&url).await]).await;
    let Some(cluster) = Cluster::start("contracts and statements") else { return };
    let url = cluster.database().unwrap();
    settlement::conform(&[open(&url).await, open(&url).await]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_purchase_is_granted_however_often_it_is_sent() {
    let directory = tempfile::tempdir().unwrap();
    let url = sqlite_url(&directory.path().join("test.db"));
    purchases::conform(&[open(&url).await, open(&url).await]).await;
    let Some(cluster) = Cluster::start("one purchase sent many times") else { return };
    let url = cluster.database().unwrap();
    purchases::conform(&[open(&url).await, open(&url).await]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_rotations_under_load_with_two_issuers_on_one_postgres() {
    let Some(cluster) = Cluster::start("two rotations on one PostgreSQL") else { return };
    let mut setup = Setup::new(cluster.database().unwrap()).unwrap();
    setup.config.ledger.store = Some(cluster.ledger());
    let (one, two) = (setup.init().await.unwrap(), setup.open().await.unwrap());
    crate::tests::rotation::under_load(&Arc::new(one), &Arc::new(two)).await;
}

#[tokio::test]
async fn unknown_databases_are_named() {
    assert!(matches!(Store::open("mysql://x", 1, true).await, Err(StoreError::UnknownScheme)));
    let missing = Store::open("sqlite:///nonexistent/x.db", 1, false).await;
    assert!(matches!(missing, Err(StoreError::Open(_))));
}

#[tokio::test]
async fn a_newer_database_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let url = sqlite_url(&directory.path().join("test.db"));
    let store = open(&url).await;
    let newer = store.run_tx("newer", |tx| {
        Box::pin(async move {
            sqlx::query("INSERT INTO migrations (version) VALUES (999)")
                .execute(tx.connection())
                .await?;
            Ok(())
        })
    });
    newer.await.unwrap();
    store.close().await;
    let reopened = Store::open(&url, 1, false).await;
    assert!(matches!(reopened, Err(StoreError::TooNew { found: 999, .. })));
}

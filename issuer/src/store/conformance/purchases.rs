//! Purchases: once each, whoever asks at the same time, and what refunds make of them.

use futures_util::future::join_all;
use scrip_protocol::{
    credits::Credits,
    purchase::OrderId,
    time::{Day, UnixSeconds},
};

use super::{TODAY, grant_id, pack, purchase, sold};
use crate::{
    sources::{AccountId, TransactionId},
    store::{
        Effect, GrantRow, NewPurchase, OrderRow, Outcome, PurchaseRecorded, PurchaseRow, Refund,
        Store,
    },
};

const ACCOUNT: [u8; 32] = [7; 32];

pub(super) async fn conform(stores: &[Store]) {
    one_purchase_sent_many_times_at_once_is_granted(stores).await;
    one_purchase_for_many_grants_is_granted_once(stores).await;
    orders_hold_their_grant(&stores[0]).await;
    refunds_cancel_what_was_not_minted(&stores[0]).await;
    a_refund_and_a_signature_exclude_each_other(stores).await;
    second_parts_follow_the_first(&stores[0]).await;
    budgets_are_never_exceeded(stores).await;
    notifications_are_taken_once(stores).await;
    deliveries_are_reported_until_they_are(&stores[0]).await;
    failures_are_counted(&stores[0]).await;
}

fn granted(recorded: &PurchaseRecorded) -> bool {
    matches!(recorded, PurchaseRecorded::Granted(..))
}

/// A client that repeats a request before the first has its answer, or a proxy that does.
async fn one_purchase_sent_many_times_at_once_is_granted(stores: &[Store]) {
    for code in 100..116 {
        let new = purchase("voucher", &[code; 32], grant_id(code));
        let attempts = (0..8).map(|number: usize| {
            let (store, new) = (&stores[number % stores.len()], &new);
            async move { store.record_purchase(new).await.unwrap() }
        });
        assert!(join_all(attempts).await.iter().all(granted), "purchase {code}");
    }
}

async fn one_purchase_for_many_grants_is_granted_once(stores: &[Store]) {
    for transaction in [b"a", b"b", b"c"] {
        let attempts = (0..8).map(|number: u8| {
            let store = &stores[usize::from(number) % stores.len()];
            let new = purchase(
                "apple",
                transaction,
                grant_id(120 + number + 8 * (transaction[0] - b'a')),
            );
            async move { store.record_purchase(&new).await.unwrap() }
        });
        let recorded = join_all(attempts).await;
        assert_eq!(recorded.iter().filter(|one| granted(one)).count(), 1);
        assert_eq!(recorded.iter().filter(|one| **one == PurchaseRecorded::Used).count(), 7);
    }
}

fn order(number: u8, grant: u8) -> OrderRow {
    let product = "starter".into();
    OrderRow {
        id: OrderId::from_random([number; 16]),
        grant_id: grant_id(grant),
        product,
        day: TODAY,
    }
}

async fn orders_hold_their_grant(store: &Store) {
    let made = order(1, 160);
    assert_eq!(store.order(&made).await.unwrap(), Some(made.clone()));
    assert_eq!(
        store.order(&order(2, 160)).await.unwrap(),
        Some(made.clone()),
        "the first id stays"
    );
    let other = OrderRow { product: "other".into(), ..order(3, 160) };
    assert_eq!(store.order(&other).await.unwrap(), None);
    assert_eq!(store.order(&order(4, 100)).await.unwrap(), None, "the grant is of a voucher");
    assert_eq!(store.order_by_id(&made.id).await.unwrap(), Some(made.clone()));
    assert_eq!(store.order_of(&grant_id(161)).await.unwrap(), None);

    let without = purchase("voucher", b"160", grant_id(160));
    assert_eq!(store.record_purchase(&without).await.unwrap(), PurchaseRecorded::GrantUsed);
    let unpaid = order(5, 162);
    let order = Some(made.id);
    let foreign = NewPurchase { order, ..purchase("stripe", b"160", grant_id(161)) };
    assert_eq!(store.record_purchase(&foreign).await.unwrap(), PurchaseRecorded::OrderUnknown);
    let paid = NewPurchase { order, ..purchase("stripe", b"160", grant_id(160)) };
    assert!(granted(&store.record_purchase(&paid).await.unwrap()));
    let twice = NewPurchase { order, ..purchase("stripe", b"160 again", grant_id(160)) };
    assert_eq!(store.record_purchase(&twice).await.unwrap(), PurchaseRecorded::GrantUsed);

    store.order(&unpaid).await.unwrap();
    assert_eq!(store.drop_orders(TODAY, 10).await.unwrap(), 0);
    assert_eq!(store.drop_orders(Day(TODAY.0 + 1), 10).await.unwrap(), 1, "the paid one stays");
    assert!(store.order_of(&grant_id(160)).await.unwrap().is_some());
}

async fn refunds_cancel_what_was_not_minted(store: &Store) {
    let (source, day) = ("google", Some(TODAY));
    let refund = async |transaction: &[u8], day: Option<Day>| {
        store
            .refund(source, &TransactionId::new(transaction), day.is_some(), "ada", TODAY.start())
            .await
            .unwrap()
    };
    let account = Some(AccountId::from_bytes(ACCOUNT));
    for (transaction, grant) in [(b"x", 170), (b"y", 171)] {
        let new = NewPurchase { account, ..purchase(source, transaction, grant_id(grant)) };
        assert!(granted(&store.record_purchase(&new).await.unwrap()));
    }
    assert_eq!(refund(b"x", day).await, Refund::Cancelled);
    assert_eq!(refund(b"x", day).await, Refund::Nothing);
    assert!(!store.store_pack(&grant_id(170), &pack(1), &[], TODAY).await.unwrap());
    assert_eq!(store.losses().await.unwrap(), []);
    assert_eq!(refund(b"x", None).await, Refund::Cancelled);
    assert!(store.store_pack(&grant_id(170), &pack(1), &[], TODAY).await.unwrap());
    assert_eq!(refund(b"x", day).await, Refund::Lost);
    assert!(store.store_pack(&grant_id(171), &pack(1), &[], TODAY).await.unwrap());
    assert_eq!(refund(b"y", day).await, Refund::Lost);
    let losses = store.losses().await.unwrap();
    assert_eq!((losses.len(), losses[0].refunds, losses[0].credits), (1, 2, Credits(2 * 19)));
    assert_eq!((losses[0].account, losses[0].product.as_str()), (account, "starter"));
    assert_eq!(refund(b"y", None).await, Refund::Lost);
    assert_eq!(store.losses().await.unwrap()[0].refunds, 1);

    // The refund comes before the wallet.
    assert_eq!(refund(b"z", day).await, Refund::Noted);
    let late = purchase(source, b"z", grant_id(172));
    assert_eq!(store.record_purchase(&late).await.unwrap(), PurchaseRecorded::Refunded);
    assert_eq!(refund(b"z", None).await, Refund::Noted);
    assert_eq!(refund(b"z", None).await, Refund::Nothing);
    assert!(granted(&store.record_purchase(&late).await.unwrap()));

    let sales = store.sales(TODAY).await.unwrap();
    let google = sales.iter().find(|sale| sale.source == "google").unwrap();
    assert_eq!((google.purchases, google.refunded, google.credits), (3, 1, Credits(3 * 19)));
    assert!(store.sales(Day(TODAY.0 + 1)).await.unwrap().is_empty());
}

async fn a_refund_and_a_signature_exclude_each_other(stores: &[Store]) {
    for grant in 180..196 {
        let new = purchase("apple", &[grant], grant_id(grant));
        assert!(granted(&stores[0].record_purchase(&new).await.unwrap()));
        let (minting, refunding) = (&stores[0], &stores[stores.len() - 1]);
        let (id, transaction, pack) = (grant_id(grant), TransactionId::new([grant]), pack(grant));
        let (minted, refunded) = tokio::join!(
            minting.store_pack(&id, &pack, &[], TODAY),
            refunding.refund("apple", &transaction, true, "ada", TODAY.start())
        );
        let expected = if minted.unwrap() { Refund::Lost } else { Refund::Cancelled };
        assert_eq!(refunded.unwrap(), expected);
    }
}

async fn second_parts_follow_the_first(store: &Store) {
    let rest = Some((sold(), UnixSeconds(5)));
    for (grant, second) in [(200, 201), (202, 203), (204, 205)] {
        let first = NewPurchase {
            grant: GrantRow { rest: rest.clone(), ..GrantRow::new("big", sold()) },
            ..purchase("apple", &[grant], grant_id(grant))
        };
        assert!(granted(&store.record_purchase(&first).await.unwrap()));
        assert_eq!(store.grant(&grant_id(grant)).await.unwrap().unwrap().rest, rest);
        if grant == 204 {
            store
                .refund("apple", &TransactionId::new([grant]), true, "ada", TODAY.start())
                .await
                .unwrap();
        }
        let parent = grant_id(grant);
        let new = NewPurchase {
            parent: Some(parent),
            ..purchase("rest", parent.as_bytes(), grant_id(second))
        };
        let recorded = store.record_purchase(&new).await.unwrap();
        assert_eq!(granted(&recorded), grant != 204);
        assert_eq!(recorded == PurchaseRecorded::ParentCancelled, grant == 204);
        let again = NewPurchase { grant_id: grant_id(210), ..new };
        let expected =
            if grant == 204 { PurchaseRecorded::ParentCancelled } else { PurchaseRecorded::Used };
        assert_eq!(store.record_purchase(&again).await.unwrap(), expected);
    }
    assert!(store.store_pack(&grant_id(203), &pack(1), &[], TODAY).await.unwrap());
    let refund = async |grant: u8| {
        store
            .refund("apple", &TransactionId::new([grant]), true, "ada", TODAY.start())
            .await
            .unwrap()
    };
    assert_eq!(refund(200).await, Refund::Cancelled);
    assert_eq!(refund(202).await, Refund::Lost, "the second part was minted");
    assert!(store.grant(&grant_id(201)).await.unwrap().unwrap().cancelled);
}

async fn budgets_are_never_exceeded(stores: &[Store]) {
    let attempts = (0..10).map(|number: u8| {
        let store = &stores[usize::from(number) % stores.len()];
        let new = NewPurchase {
            budget: Some(3 * 19),
            ..purchase("free", &[number], grant_id(220 + number))
        };
        async move { store.record_purchase(&new).await.unwrap() }
    });
    let recorded = join_all(attempts).await;
    assert_eq!(recorded.iter().filter(|one| granted(one)).count(), 3);
    assert_eq!(recorded.iter().filter(|one| **one == PurchaseRecorded::BudgetSpent).count(), 7);
    let tomorrow = Day(TODAY.0 + 1);
    let new = NewPurchase {
        budget: Some(19),
        day: tomorrow,
        ..purchase("free", b"tomorrow", grant_id(230))
    };
    assert!(granted(&stores[0].record_purchase(&new).await.unwrap()));
    // The budget is not charged for what is shown again.
    assert!(granted(&stores[0].record_purchase(&new).await.unwrap()));
    assert_eq!(stores[0].sales(tomorrow).await.unwrap()[0].credits, Credits(19));
}

async fn notifications_are_taken_once(stores: &[Store]) {
    let new = purchase("stripe", b"n", grant_id(235));
    let transaction = new.transaction.clone();
    let effects = [Effect::Paid(new), Effect::Refund(transaction.clone(), true)];
    let attempts =
        (0..6).map(|number: usize| {
            let (store, effects) = (&stores[number % stores.len()], &effects);
            async move {
                store.take_notification("stripe", "one", TODAY.start(), effects).await.unwrap()
            }
        });
    let taken: Vec<_> = join_all(attempts).await.into_iter().flatten().collect();
    assert_eq!(taken.len(), 1);
    assert!(matches!(
        taken[0][..],
        [Outcome::Paid(PurchaseRecorded::Granted(..)), Outcome::Refund(Refund::Cancelled)]
    ));
    // An old refund that comes again does not undo its reversal.
    let reversal = [Effect::Refund(transaction.clone(), false)];
    let refund = [Effect::Refund(transaction, true)];
    let take = async |id, effects| {
        stores[0].take_notification("stripe", id, TODAY.start(), effects).await.unwrap()
    };
    assert!(take("two", &refund).await.is_some());
    assert!(take("three", &reversal).await.is_some());
    assert!(take("two", &refund).await.is_none());
    assert!(!stores[0].grant(&grant_id(235)).await.unwrap().unwrap().cancelled);
}

async fn deliveries_are_reported_until_they_are(store: &Store) {
    let new = NewPurchase { settles: true, ..purchase("google", b"s", grant_id(240)) };
    let recorded = store.record_purchase(&new).await.unwrap();
    assert!(matches!(recorded, PurchaseRecorded::Granted(_, false)));
    let unsettled = store.unsettled(10).await.unwrap();
    assert_eq!((unsettled.len(), unsettled[0].source.as_str()), (1, "google"));
    assert_eq!(
        (&unsettled[0].transaction, unsettled[0].product.as_str()),
        (&new.transaction, "starter")
    );
    store.mark_settled("google", &new.transaction).await.unwrap();
    assert!(store.unsettled(10).await.unwrap().is_empty());
    let row = PurchaseRow { grant_id: Some(new.grant_id), refunded: None, settled: true };
    assert_eq!(store.purchase("google", &new.transaction).await.unwrap(), Some(row));
    assert!(matches!(
        store.record_purchase(&new).await.unwrap(),
        PurchaseRecorded::Granted(_, true)
    ));
}

async fn failures_are_counted(store: &Store) {
    store.source_failed("google", UnixSeconds(1), "no").await.unwrap();
    store.source_failed("google", UnixSeconds(2), &"x".repeat(1000)).await.unwrap();
    let failures = store.source_failures().await.unwrap();
    assert_eq!((failures.len(), failures[0].failures, failures[0].at), (1, 2, UnixSeconds(2)));
    assert_eq!(failures[0].message.len(), 500);
    store.source_works("google").await.unwrap();
    assert!(store.source_failures().await.unwrap().is_empty());
}

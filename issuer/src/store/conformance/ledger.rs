//! What every database must do for the ledger: one row says how far it is, and one process moves it.

use futures_util::future::join_all;
use scrip_protocol::{
    id::ManifestDigest,
    ledger::{Leaf, ManifestVersion},
    redemption::{InvalidReason, RedemptionItem},
    time::Day,
    voided::Voided,
};
use scrip_runtime::steps::Steps;

use super::{Store, TODAY, batch, record, spend};
use crate::{
    redemption::evidence,
    store::{
        Decision, EditionRow, EvidenceRow, IssuedRow, LedgerState, QueuedRow, RangeRow, SalesRow,
        Sequenced, SpendRecord, StoreError, What,
    },
};

/// The suite. `stores` are open on one database, in which things have happened.
pub(super) async fn conforms(stores: &[Store]) {
    let store = &stores[0];
    a_ledger_is_begun_once(stores).await;
    one_of_many_takes_the_lease(stores).await;
    one_of_two_believers_commits(stores).await;
    nothing_is_sequenced_before_the_last_is_stored(store).await;
    a_batch_has_one_place(store).await;
    leaves_keep_the_order_in_which_they_came(stores).await;
    whoever_does_not_hold_the_lease_changes_nothing(store).await;
    what_is_handed_on_is_what_is_recorded(store).await;
    a_version_of_the_manifest_has_one_leaf(stores).await;
    an_edition_is_recorded_once(stores).await;
}

async fn a_ledger_is_begun_once(stores: &[Store]) {
    let begun = (0..4).map(|n: u8| {
        let store = &stores[usize::from(n) % stores.len()];
        async move { store.begin_ledger(&[n; 32], &[]).await.unwrap() }
    });
    join_all(begun).await;
    let state = stores[0].ledger_state().await.unwrap();
    assert_eq!((state.size, state.stored, state.beat), (0, 0, 0));
    for store in stores {
        assert!(store.ledger_state().await.unwrap() == state, "one secret");
    }
}

async fn one_of_many_takes_the_lease(stores: &[Store]) {
    let beat = stores[0].ledger_state().await.unwrap().beat;
    let attempts = (1..=8).map(|n: u8| {
        let store = &stores[usize::from(n) % stores.len()];
        async move { store.take_ledger_lease(&[n; 16], beat).await.unwrap() }
    });
    let taken: Vec<bool> = join_all(attempts).await;
    assert_eq!(taken.iter().filter(|taken| **taken).count(), 1);
    let winner = 1 + taken.iter().position(|taken| *taken).unwrap() as u8;
    let state = stores[0].ledger_state().await.unwrap();
    assert_eq!(state.holder, [winner; 16]);
    assert!(stores[0].beat_ledger_lease(&[winner; 16]).await.unwrap());
    assert!(!stores[0].beat_ledger_lease(&[99; 16]).await.unwrap());
    assert!(!stores[0].take_ledger_lease(&[99; 16], state.beat).await.unwrap(), "it has beaten");
}

/// Everything that is in line, one leaf for each row.
async fn line(store: &Store) -> (Vec<QueuedRow>, Vec<IssuedRow>, Vec<SalesRow>) {
    let before = Day(u32::MAX);
    let queue = store.ledger_queue(1_000).await.unwrap();
    let issued = store.ledger_issued(before).await.unwrap();
    (queue, issued, store.ledger_sales(before).await.unwrap())
}

fn sequenced(
    state: &LedgerState,
    queue: &[QueuedRow],
    issued: Vec<IssuedRow>,
    sales: Vec<SalesRow>,
) -> Sequenced {
    let range = |(first, row): (u64, &QueuedRow)| RangeRow {
        first,
        leaves: 1,
        what: row.what,
        batch: (row.what == What::Redemptions).then_some(row.entry),
        operator: row.operator,
        body: row.body.clone(),
    };
    let size = state.size + queue.len() as u64;
    Sequenced {
        holder: state.holder,
        from: state.size,
        from_edge: state.edge.clone(),
        size,
        edge: vec![1, 2, 3],
        note: format!("note of {size}").into_bytes(),
        ranges: (state.size..).zip(queue).map(range).collect(),
        taken: queue.iter().map(|row| (row.what, row.entry)).collect(),
        issued,
        sales,
        renewals: None,
        ended: Vec::new(),
    }
}

/// Two processes read the same line, and both believe to hold the lease.
async fn one_of_two_believers_commits(stores: &[Store]) {
    let store = &stores[0];
    let state = store.ledger_state().await.unwrap();
    let (queue, issued, sales) = line(store).await;
    assert!(!queue.is_empty() && !issued.is_empty() && !sales.is_empty(), "things have happened");
    let new = sequenced(&state, &queue, issued, sales);
    let attempts = (0..4_usize).map(|n| {
        let (store, new) = (&stores[n % stores.len()], new.clone());
        async move { store.sequence(&new, &Steps::none()).await.unwrap() }
    });
    let won: Vec<bool> = join_all(attempts).await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    let after = store.ledger_state().await.unwrap();
    assert_eq!((after.size, after.stored), (new.size, 0));
    assert_eq!(line(store).await, (Vec::new(), Vec::new(), Vec::new()), "taken from the line");
    let ranges = store.ledger_ranges(0, new.size).await.unwrap();
    let mut next = 0;
    for range in &ranges {
        assert_eq!(range.first, next, "without gaps");
        next += range.leaves;
    }
    assert_eq!((next, ranges), (new.size, new.ranges));
    assert_eq!(store.ledger_note(1).await.unwrap().unwrap().0, new.size);
    assert_eq!(store.ledger_note(new.size + 1).await.unwrap(), None);
}

async fn nothing_is_sequenced_before_the_last_is_stored(store: &Store) {
    record(store, &batch(250, vec![spend(9_001, 1)])).await;
    let state = store.ledger_state().await.unwrap();
    let (queue, issued, sales) = line(store).await;
    let new = sequenced(&state, &queue, issued, sales);
    assert!(!store.sequence(&new, &Steps::none()).await.unwrap());
    store.mark_ledger_stored(state.size + 7).await.unwrap();
    assert_eq!(store.ledger_state().await.unwrap().stored, 0, "another size is not this one");
    store.mark_ledger_stored(state.size).await.unwrap();
    let stored = store.ledger_state().await.unwrap();
    assert_eq!((stored.stored, stored.stored_edge), (state.size, state.edge));
    assert!(store.sequence(&new, &Steps::none()).await.unwrap());
    store.mark_ledger_stored(new.size).await.unwrap();
}

/// The row of the queue is there again, as by a fault: the ledger refuses it.
async fn a_batch_has_one_place(store: &Store) {
    let state = store.ledger_state().await.unwrap();
    let row = QueuedRow {
        what: What::Redemptions,
        entry: 250,
        day: TODAY,
        operator: Some(1),
        commitments: Vec::new(),
        body: None,
    };
    let mut new = sequenced(&state, &[row], Vec::new(), Vec::new());
    new.taken.clear();
    let refused = store.sequence(&new, &Steps::none()).await;
    assert!(matches!(refused, Err(StoreError::Contention { .. })), "{refused:?}");
    assert!(store.ledger_state().await.unwrap() == state, "nothing is changed");
    // And what is no longer in line has no place either.
    let mut gone = sequenced(&state, &[], Vec::new(), Vec::new());
    (gone.size, gone.taken) = (state.size + 1, vec![(What::Redemptions, 250)]);
    let refused = store.sequence(&gone, &Steps::none()).await;
    assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{refused:?}");
    assert!(store.ledger_state().await.unwrap() == state, "nothing is changed");
}

async fn leaves_keep_the_order_in_which_they_came(stores: &[Store]) {
    for (n, leaf) in [b"one".as_slice(), b"two", b"three"].into_iter().enumerate() {
        let store = &stores[n % stores.len()];
        store.enqueue_leaf(TODAY, Some(1), &[], leaf).await.unwrap();
    }
    let more = (0..6_usize).map(|n| {
        let store = &stores[n % stores.len()];
        async move { store.enqueue_leaf(TODAY, None, &[], b"at once").await.unwrap() }
    });
    join_all(more).await;
    let queue = stores[0].ledger_queue(100).await.unwrap();
    let bodies: Vec<_> = queue.iter().filter_map(|row| row.body.as_deref()).collect();
    assert_eq!(bodies[..3], [b"one".as_slice(), b"two", b"three"]);
    assert_eq!(bodies.len(), 9);
    assert_eq!(stores[0].ledger_waiting().await.unwrap().entries, 9);
}

async fn whoever_does_not_hold_the_lease_changes_nothing(store: &Store) {
    let state = store.ledger_state().await.unwrap();
    let (queue, issued, sales) = line(store).await;
    let mut new = sequenced(&state, &queue, issued, sales);
    new.holder = [77; 16];
    assert!(!store.sequence(&new, &Steps::none()).await.unwrap());
    assert!(store.ledger_state().await.unwrap() == state);
}

/// The sequencer makes leaves of what the process has, and after a crash of what the database has.
async fn what_is_handed_on_is_what_is_recorded(store: &Store) {
    record(store, &batch(251, vec![spend(9_100, 1)])).await;
    let mut invalid = spend(9_103, 1);
    invalid.invalid = Some(InvalidReason::Day);
    let expired = SpendRecord { expired: true, ..spend(9_104, 1) };
    let items = vec![
        spend(9_102, 1),
        spend(9_100, 1), // accepted before
        spend(9_101, 1),
        spend(9_102, 1), // once more
        spend(9_100, 2), // spent elsewhere
        invalid,
        expired,
        spend(9_099, 1),
    ];
    let mut mixed = batch(252, items);
    mixed.items.insert(1, Decision::Unknown(InvalidReason::Key));
    let results = record(store, &mixed).await;
    let results: Vec<_> = results.into_iter().map(|result| (result, None)).collect();
    let fields = |row: &EvidenceRow| {
        let RedemptionItem { token, day, commitment, signature } = &row.item;
        (row.position, token.encode(), *day, *commitment.as_bytes(), *signature.as_bytes())
    };
    let handed: Vec<_> = evidence(&mixed, &results).iter().map(fields).collect();
    assert_eq!(handed.iter().map(|row| row.0).collect::<Vec<_>>(), [0, 3, 8]);
    let recorded = store.evidence(252).await.unwrap();
    assert_eq!(handed, recorded.iter().map(fields).collect::<Vec<_>>());
}

/// Gives what is in line its places and marks them stored; returns the size before.
async fn sequence_all(store: &Store) -> u64 {
    let state = store.ledger_state().await.unwrap();
    let (queue, issued, sales) = line(store).await;
    let new = sequenced(&state, &queue, issued, sales);
    assert!(store.sequence(&new, &Steps::none()).await.unwrap());
    store.mark_ledger_stored(new.size).await.unwrap();
    state.size
}

async fn a_version_of_the_manifest_has_one_leaf(stores: &[Store]) {
    let store = &stores[0];
    sequence_all(store).await;
    let leaf = |version, byte| {
        Leaf::Manifest(ManifestVersion { version, digest: ManifestDigest::from_bytes([byte; 32]) })
    };
    let other = Leaf::Cover([3; 32]).encode();
    for leaf in [other, leaf(801, 1).encode(), leaf(802, 2).encode()] {
        store.enqueue_leaf(TODAY, None, &[], &leaf).await.unwrap();
    }
    for store in stores {
        assert_eq!(store.manifest_leaf(801).await.unwrap(), None, "it has no place yet");
    }
    let from = sequence_all(store).await;
    for store in stores {
        assert_eq!(store.manifest_leaf(801).await.unwrap(), Some(from + 1));
        assert_eq!(store.manifest_leaf(802).await.unwrap(), Some(from + 2));
        assert_eq!(store.manifest_leaf(803).await.unwrap(), None);
    }
    // The same version again, with another content: the ledger refuses it, and nothing is changed.
    store.enqueue_leaf(TODAY, None, &[], &leaf(802, 9).encode()).await.unwrap();
    let state = store.ledger_state().await.unwrap();
    let (queue, issued, sales) = line(store).await;
    let again = sequenced(&state, &queue, issued, sales);
    let refused = store.sequence(&again, &Steps::none()).await;
    assert!(matches!(refused, Err(StoreError::Contention { .. })), "{refused:?}");
    assert!(store.ledger_state().await.unwrap() == state);
    assert_eq!(store.manifest_leaf(802).await.unwrap(), Some(from + 2));
    store.execute_raw("DELETE FROM ledger_queue").await.unwrap();
}

/// Of editions with one number one is recorded, with its leaves in line; it covers what has its place, and nothing of what waits.
async fn an_edition_is_recorded_once(stores: &[Store]) {
    let store = &stores[0];
    record(store, &batch(253, vec![spend(9_201, 1), spend(9_200, 1)])).await;
    let epoch = spend(9_200, 1).epoch;
    let tomorrow = Day(TODAY.0 + 1);
    for store in stores {
        assert!(store.waits_from_before(tomorrow).await.unwrap(), "a batch waits");
        assert!(!store.waits_from_before(TODAY).await.unwrap(), "not of days before today");
    }
    let key = |n| spend(n, 1).item.token.nonce;
    let from = sequence_all(store).await;
    assert!(!store.waits_from_before(tomorrow).await.unwrap());
    let size = store.ledger_state().await.unwrap().size;
    let without = store.voided_before(epoch, from).await.unwrap();
    let with = store.voided_before(epoch, size).await.unwrap();
    let has = |list: &[([u8; 32], Voided)], n| list.contains(&(key(n), Voided::Redeemed));
    assert!(has(&with, 9_200) && has(&with, 9_201) && !has(&without, 9_200));
    assert_eq!(with.len(), without.len() + 2);

    assert_eq!(store.newest_edition(epoch).await.unwrap(), None);
    let attempts = (1..=6_u8).map(|n| {
        let store = &stores[usize::from(n) % stores.len()];
        let commitment = Leaf::Cover([n; 32]).encode();
        let row = EditionRow {
            epoch,
            number: 1,
            day: TODAY,
            covered: size,
            commitment,
            published: false,
        };
        async move {
            let salt = Leaf::Cover([100 + n; 32]).encode();
            let recorded = store.record_edition(&row, &salt, TODAY, || ()).await.unwrap();
            recorded.then_some((row, salt))
        }
    });
    let recorded: Vec<_> = join_all(attempts).await.into_iter().flatten().collect();
    let [(row, salt)] = &recorded[..] else { panic!("{} were recorded", recorded.len()) };
    for store in stores {
        assert_eq!(store.newest_edition(epoch).await.unwrap().as_ref(), Some(row));
    }
    let queue = store.ledger_queue(100).await.unwrap();
    let [line] = &queue[..] else { panic!("{queue:?}") };
    assert_eq!(
        (&line.commitments, &line.body),
        (&vec![row.commitment.clone()], &Some(salt.clone()))
    );
    assert_eq!(store.place_of_leaf(salt, 0).await.unwrap(), None);
    let from = sequence_all(store).await;
    assert_eq!(store.place_of_leaf(salt, 0).await.unwrap(), Some(from));
    assert_eq!(store.place_of_leaf(salt, from + 1).await.unwrap(), None);
    store.mark_edition_published(row).await.unwrap();
    let published = stores[stores.len() - 1].newest_edition(epoch).await.unwrap().unwrap();
    assert_eq!(published, EditionRow { published: true, ..row.clone() });
}

//! What a user is told in time.

use scrip_protocol::time::SECONDS_PER_DAY;

use crate::{
    ExpiryNotice,
    testing::{FakeVendor, START, World},
};

#[tokio::test]
async fn who_holds_what_expires_is_told_once_a_day() {
    let world = World::new(1).await;
    let wallet = world.funded("wallet").await;
    assert_eq!(wallet.expiry_notice().await.unwrap(), None);
    let day = |n: u64| START.plus(n * SECONDS_PER_DAY);
    world.clock.set(day(100).minus(1));
    assert_eq!(wallet.expiry_notice().await.unwrap(), None, "a second too early");
    world.clock.set(day(100));
    let notice = ExpiryNotice {
        credits: FakeVendor::pack_value(),
        at: day(130),
        renewed_from: Some(day(100)),
    };
    assert_eq!(wallet.expiry_notice().await.unwrap(), Some(notice));
    assert_eq!(wallet.expiry_notice().await.unwrap(), None, "once a day");
    wallet.close().await.unwrap();
    let wallet = world.open("wallet").await;
    world.clock.set(day(101).minus(1));
    assert_eq!(wallet.expiry_notice().await.unwrap(), None, "the next command remembers that");
    world.clock.set(day(101));
    assert_eq!(wallet.expiry_notice().await.unwrap(), Some(notice));
    world.clock.set(day(130));
    assert_eq!(wallet.expiry_notice().await.unwrap(), None, "it is too late for warnings");
}

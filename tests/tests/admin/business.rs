//! A vendor's first months, as its database would hold them.

use scrip_protocol::time::Day;
use scrip_runtime::clock::Clock;
use scrip_tests::network::{Network, START};
use sqlx::{AssertSqlSafe, sqlite::SqlitePool};

const DAY: u64 = 86_400;

/// Three epochs, operators large, small and unlucky, and a customer of flesh and blood.
pub(crate) async fn happens(network: &Network) {
    let issuer = network.vendor.issuer().unwrap();
    let wallet = network.funded_wallet("alice", 1).await.unwrap();
    drop(wallet);
    for (seed, name) in [
        (1, "Aurora Relays"),
        (2, "kanal.example"),
        (3, "nordlicht e. V."),
        (4, "A cooperative of relays with a name that is far too long for any screen"),
    ] {
        let key = scrip_protocol::keys::SigningKey::from_seed(&[seed; 32]).public();
        issuer.add_operator(name, &key).await.unwrap();
    }
    // To the middle of the third epoch, through the schedule.
    for _ in 0..75 {
        network.clock.advance(DAY);
        issuer.tend_keys().await.unwrap();
    }
    let pool = SqlitePool::connect(&issuer.config().database).await.unwrap();
    let sql = async |text: String| {
        sqlx::query(AssertSqlSafe(text)).execute(&pool).await.unwrap();
    };
    let grant: Vec<u8> =
        sqlx::query_scalar("SELECT grant_id FROM grants LIMIT 1").fetch_one(&pool).await.unwrap();
    let grant = data_encoding::HEXUPPER.encode(&grant);
    for (epoch, issued, redeemed) in [(1, 41_000, 29_800), (2, 67_500, 31_200), (3, 38_200, 4_100)]
    {
        for exponent in 0..5 {
            let (issued, redeemed) = (issued >> exponent, redeemed >> exponent);
            sql(format!(
                "INSERT INTO issued VALUES (x'{grant}', {}, {epoch}, {exponent}, {issued})",
                1_000 + epoch
            ))
            .await;
            for (operator, share) in [(2, 62), (3, 27), (4, 11)] {
                let batch = epoch * 1_000 + exponent * 10 + operator;
                sql(format!(
                    "INSERT INTO redeemed VALUES ({batch}, {operator}, {epoch}, {exponent}, {})",
                    redeemed * share / 100
                ))
                .await;
            }
        }
    }
    let today = network.clock.today();
    for back in 0..40 {
        let day = Day(today.0 - back).0;
        for (operator, accepted, double, wait) in [(2, 900, 0, 1), (3, 400, 1, 2), (4, 120, 9, 6)] {
            if operator == 4 && back < 9 {
                continue;
            }
            sql(format!(
                "INSERT INTO outcomes VALUES ({operator}, {day}, 1, {accepted}, 2, {double}, 0, 0, {}, {})",
                accepted * wait,
                wait + 3
            ))
            .await;
        }
    }
    let mut number = 0_u64;
    for back in 0..40_u64 {
        let day = today.0 - u32::try_from(back).unwrap();
        for (source, usual, refunds) in
            [("apple", 9, 21), ("google", 6, 17), ("stripe", 2, 0), ("voucher", 1, 0)]
        {
            // Weekends are better, and it grows.
            let weekend = u64::from(day % 7 < 2) * usual / 2;
            let sold =
                usual + weekend + (39 - back) * usual / 30 + (u64::from(day) * 7 + usual) % 4;
            for _ in 0..sold {
                number += 1;
                let refunded = if refunds > 0 && number.is_multiple_of(refunds) {
                    day.to_string()
                } else {
                    "NULL".into()
                };
                sql(format!(
                    "INSERT INTO grants (grant_id, product, pack, minted) VALUES (x'{number:064x}', 'pack', '0:2', 1)"
                ))
                .await;
                sql(format!(
                    "INSERT INTO purchases (source, transaction_id, grant_id, day, credits, account, refunded_day)
                    VALUES ('{source}', x'{number:016x}', x'{number:064x}', {day}, 62, x'{:08x}{:056x}', {refunded})",
                    0x9a3c_1000 + number % 40 * 7_919,
                    number % 40
                ))
                .await;
            }
        }
    }
    for _ in 0..14 {
        let message =
            "the Play Developer API answers 401: the service account may have lost its role";
        issuer.store().source_failed("google", network.clock.now(), message).await.unwrap();
    }
    assert!(network.clock.now() > START);
    pool.close().await;
}

//! A vendor's first months, as its database would hold them.

use scrip_issuer::contracts::{Terms, conclude};
use scrip_issuer::statements::adjust;
use scrip_issuer::store::{Act, Action, NewStatement};
use scrip_protocol::credits::{Credits, Exponent};
use scrip_protocol::keys::SigningKey;
use scrip_protocol::ledger::{Adjustment, EarnedLine, Money, ResoldLine, Statement, settlement};
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
        (4, "A cooperative of relays with a name too long for any screen"),
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
    states(network).await;
    for _ in 0..14 {
        let message =
            "the Play Developer API answers 401: the service account may have lost its role";
        issuer.store().source_failed("google", network.clock.now(), message).await.unwrap();
    }
    assert!(network.clock.now() > START);
    pool.close().await;
}

/// Two contracts with one operator and two statements, and one with another that sells more than it earns.
async fn states(network: &Network) {
    let issuer = network.vendor.issuer().unwrap();
    let store = issuer.store();
    let contract = async |operator, price, resale_price| {
        let terms = Terms {
            operator,
            currency: Some("EUR".parse().unwrap()),
            price: Money(price),
            share: "70%".parse().unwrap(),
            resale_price: Money(resale_price),
        };
        conclude(store, terms, "ada", &network.clock, &mut rand_core::OsRng).await.unwrap();
    };
    contract("Aurora Relays", 2_000, 0).await;
    contract("Aurora Relays", 1_850, 1_500).await;
    contract("kanal.example", 2_000, 1_500).await;
    let earned = |contract, epoch, certificates: u64| {
        (0..8).filter_map(Exponent::new).map(move |exponent| EarnedLine {
            contract,
            epoch,
            exponent,
            certificates: (certificates >> exponent.get()) + 7,
        })
    };
    let resold =
        |purchases, credits| vec![ResoldLine { contract: 2, purchases, credits: Credits(credits) }];
    state(network, "Aurora Relays", 1, earned(1, 1, 9_214).collect(), Vec::new()).await;
    let second = earned(1, 1, 1_730).chain(earned(2, 1, 21_400)).chain(earned(2, 2, 64_212));
    state(network, "Aurora Relays", 2, second.collect(), resold(31, 16_616)).await;
    let sold = vec![ResoldLine { contract: 1, purchases: 214, credits: Credits(114_704) }];
    state(network, "kanal.example", 1, earned(1, 2, 640).collect(), sold).await;
    adjust(store, "Aurora Relays", Money(12_000_000), "February's outage", "ada", &network.clock)
        .await
        .unwrap();
}

/// Records a statement as it would be stored. The page shows what is stored, and leaves it to operators to check it.
async fn state(
    network: &Network,
    operator: &str,
    number: u32,
    mut earned: Vec<EarnedLine>,
    resold: Vec<ResoldLine>,
) {
    let issuer = network.vendor.issuer().unwrap();
    let operators = issuer.operators().await.unwrap();
    let operator = operators.into_iter().find(|one| one.name == operator).unwrap();
    let contracts = issuer.store().contracts(&operator).await.unwrap();
    earned.sort_unstable();
    let reason = "a fan of <their> rack, which we broke and had promised to replace".to_owned();
    let adjustments = match number {
        2 => vec![Adjustment { amount: 38_500_000, reason }],
        _ => Vec::new(),
    };
    let contract = |number| contracts.iter().find(|one| one.number == number);
    let total = settlement::total(&earned, &resold, &adjustments, contract).unwrap();
    let statement = Statement {
        vendor_id: issuer.vendor_id(),
        operator_id: operator.id,
        number,
        day: network.clock.today(),
        from: u64::from(number - 1) * 184_320,
        until: u64::from(number) * 184_320,
        currency: contracts[0].currency,
        earned,
        resold,
        adjustments,
        settled: Vec::new(),
        total,
    };
    let signed = statement.sign(&SigningKey::from_seed(&[1; 32])).unwrap();
    let (commitments, adjustments) = (&[][..], &[][..]);
    let (until, day) = (signed.unverified().until, network.clock.today());
    let new =
        NewStatement { number, until, contract: 2, day, signed: &signed, commitments, adjustments };
    let act = Act::by("ada", network.clock.now(), Action::StatementMake, &operator.name);
    assert!(issuer.store().add_statement(&operator, &new, &act).await.unwrap());
}

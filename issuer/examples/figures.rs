use scrip_issuer::{config::sqlite_url, store::*, testing::postgres::Cluster};
use scrip_protocol::{
    credits::*, id::*, keys::*, redemption::*, spend::*, time::Day, token::Token,
};
use scrip_runtime::steps::Steps;
use std::time::Instant;
#[tokio::main]
async fn main() {
    let d = tempfile::tempdir().unwrap();
    let c = Cluster::start("x").unwrap();
    for url in [sqlite_url(&d.path().join("x.db")), c.database().unwrap()] {
        let s = Store::open(&url, 8, true).await.unwrap();
        let op = SigningKey::from_seed(&[1; 32]).public();
        s.add_operator(&OperatorId::of(&op), &op, "x", Day(1)).await.unwrap();
        let mut x: u64 = 1;
        let mk = |n: i64, x: &mut u64| {
            let items = (0..1024)
                .map(|_| {
                    *x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    let mut nonce = [3; 32];
                    nonce[..8].copy_from_slice(&x.to_be_bytes());
                    Decision::Spend(SpendRecord {
                        epoch: 1,
                        exponent: Exponent::new(1).unwrap(),
                        binding: Binding::from_bytes([1; 32]),
                        expired: false,
                        invalid: None,
                        item: RedemptionItem {
                            token: Token {
                                nonce,
                                challenge_digest: [1; 32],
                                key_id: KeyId::from_bytes([2; 32]),
                                authenticator: [3; 256],
                            },
                            day: Day(1),
                            commitment: Commitment::from_bytes(nonce),
                            signature: Signature::from_bytes([1; 64]),
                        },
                    })
                })
                .collect();
            let mut dg = [0; 32];
            dg[..8].copy_from_slice(&n.to_be_bytes());
            BatchRecord {
                number: n,
                digest: BatchDigest::from_bytes(dg),
                operator: 1,
                day: Day(1),
                items,
            }
        };
        for round in 0..2 {
            let bs: Vec<_> = (0..50).map(|n| mk(round * 1000 + n, &mut x)).collect();
            let t = Instant::now();
            for b in &bs {
                s.record_batch(b, &Steps::none()).await.unwrap();
            }
            println!(
                "{:?} {} rows/s",
                s.backend(),
                (50.0 * 1024.0 / t.elapsed().as_secs_f64()) as u64
            );
            let again: Vec<_> = bs
                .into_iter()
                .map(|mut b| {
                    b.number += 100;
                    let mut dg = *b.digest.as_bytes();
                    dg[31] = 1;
                    b.digest = BatchDigest::from_bytes(dg);
                    b
                })
                .collect();
            let t = Instant::now();
            for b in &again {
                s.record_batch(b, &Steps::none()).await.unwrap();
            }
            println!("   again: {} rows/s", (50.0 * 1024.0 / t.elapsed().as_secs_f64()) as u64);
        }
    }
}

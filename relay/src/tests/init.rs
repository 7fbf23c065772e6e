//! `init` that was killed is finished by running it again, with what is there; damaged databases are not opened.

use scrip_runtime::sealed::SealParams;

use super::support::{Bench, passphrase};
use crate::{
    config::Config,
    error::{InitError, StartError},
    identity,
    inventory::{self, InventoryError},
    relay::{InitOptions, Relay},
};
use scrip_verifier::testing::{TestVendor, rng_factory};

async fn init(directory: &std::path::Path, seed: u64) -> Result<String, InitError> {
    let config = Config::new(directory, [TestVendor::new(0).address()]);
    let options = InitOptions { config, seal_params: SealParams::for_tests() };
    let mut rng = rng_factory(seed)();
    let made = Relay::init(&options, &passphrase(), &mut &mut *rng).await?;
    Ok(made.operator_key.to_string())
}

/// Wherever it was killed: the mark is there, and the files up to some point in the order in which they are made.
#[tokio::test]
async fn an_init_that_was_killed_is_finished_by_the_next() {
    for made_before in 0..=4 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let first = init(path, 1).await.unwrap();
        let order = ["relay.db", "spent.sqlite", identity::SEALED_FILE, identity::PUBLIC_FILE];
        for name in &order[made_before..] {
            std::fs::remove_file(path.join(name)).unwrap();
        }
        std::fs::write(path.join("init.unfinished"), b"").unwrap();
        let unfinished = inventory::check_complete(path).unwrap_err();
        assert!(matches!(unfinished, InventoryError::Unfinished { .. }), "it does not start");
        let second = init(path, 2).await.unwrap();
        assert_eq!(first == second, made_before >= 3, "a key that is there is kept");
        inventory::check_complete(path).unwrap();
        assert!(path.join(identity::PUBLIC_FILE).exists());
        let third = init(path, 3).await.unwrap_err();
        assert!(matches!(third, InitError::Inventory(InventoryError::Taken { .. })), "{third}");
    }
}

/// Without the mark nobody was interrupted: something is lost, and nothing is made in its place.
#[tokio::test]
async fn a_relay_that_lost_a_file_is_not_made_again() {
    for lost in ["relay.db", "spent.sqlite", identity::SEALED_FILE] {
        let directory = tempfile::tempdir().unwrap();
        init(directory.path(), 1).await.unwrap();
        std::fs::remove_file(directory.path().join(lost)).unwrap();
        let again = init(directory.path(), 2).await.unwrap_err();
        assert!(matches!(again, InitError::Inventory(InventoryError::Taken { .. })), "{lost}");
        assert!(!directory.path().join(lost).exists());
    }
}

/// Noise in the middle of a database is found before anything is served.
#[tokio::test]
async fn a_damaged_database_is_not_opened() {
    for name in ["relay.db", "spent.sqlite"] {
        let closed = Bench::new().await.close().await;
        let path = closed.directory.path().join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        let page = 4_096;
        assert!(bytes.len() > 4 * page, "{name}");
        // Not the first page, which has the schema, and which a start reads anyway.
        bytes[page..].fill(0x5a);
        std::fs::write(&path, bytes).unwrap();
        let error = closed.refusal().await;
        let said = error.to_string();
        assert!(said.contains(name) && said.contains("restore the newest backup"), "{said}");
        assert!(matches!(error, StartError::Store(_) | StartError::Spent(_)), "{said}");
    }
}

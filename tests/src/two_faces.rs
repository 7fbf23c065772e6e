//! A vendor that shows some people another history than others, and the witnesses of its ledger.

use std::sync::Arc;

use scrip_auditor::witness::{Config, LogConfig, Witness, router};
use scrip_issuer::config::sqlite_url;
use scrip_issuer::ledger::WitnessConfig;
use scrip_protocol::keys::SigningKey;
use scrip_runtime::serve::{Listen, bind};
use scrip_runtime::steps::Steps;

use crate::Failure;
use crate::network::Network;
use crate::node::{VendorNode, copy_dir, free_address};

/// The same vendor a second time, with the same keys, on a copy of its files: what it does from now on, the first one does not know.
/// No witness hears of it.
///
/// # Errors
/// Where it does not start.
pub async fn other_face(network: &mut Network) -> Result<VendorNode, Failure> {
    network.vendor.stop().await?;
    let copy = network.dir().join("other-face");
    copy_dir(&network.issuer_dir(), &copy)?;
    network.vendor.start().await?;
    let database = sqlite_url(&copy.join("issuer.db"));
    let mut other = network.vendor.other_face(database, free_address()?);
    let config = &mut other.config().ledger;
    config.store = Some(copy.join("ledger").to_string_lossy().into_owned());
    config.witnesses.clear();
    other.start().await?;
    network.clock.advance(60);
    Ok(other)
}

/// A witness of the vendor's ledger, which runs until the test ends.
///
/// # Errors
/// Where it does not start.
pub async fn witness(network: &Network, number: u8) -> Result<WitnessConfig, Failure> {
    let key = network.vendor.issuer()?.manifest().ledger_key();
    let logs = vec![LogConfig { key, origin: None }];
    let name = format!("witness.example/w{number}").parse()?;
    let config = Config::new(name, network.dir().join(format!("witness-{number}")), logs);
    let key = SigningKey::from_seed(&[0x60 + number; 32]);
    let clock = Arc::new(network.clock.clone());
    let witness = Witness::open(&config, key, clock, Steps::none())?;
    let address = ([127, 0, 0, 1], 0).into();
    let bound = bind(&Listen { address, tls: None, behind_tls_proxy: false }).await?;
    let url = format!("http://{}/", bound.address());
    let key = witness.verifier_key();
    tokio::spawn(bound.serve(router(witness), Default::default(), std::future::pending()));
    Ok(WitnessConfig { key, url })
}

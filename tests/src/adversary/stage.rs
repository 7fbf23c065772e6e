//! A network with an adversary before everybody.

use std::sync::Arc;

use scrip_protocol::manifest::Manifest;

use super::keys::{CertificateKey, keys_shown};
use super::{Adversary, Recording};
use crate::Failure;
use crate::network::{Network, Plan};

/// What the adversary is called that wallets meet at the vendor.
pub const SELLING: &str = "vendor";
/// What the adversary is called that relays meet at the vendor.
pub const REDEEMING: &str = "vendor, redeeming";

/// The network and those who listen. Everybody's address is that of an adversary.
pub struct Stage {
    /// The network.
    pub network: Network,
    /// What all adversaries saw.
    pub recording: Recording,
    /// Between wallets and the vendor.
    pub selling: Adversary,
    /// Between relays and the vendor.
    pub redeeming: Adversary,
    /// Before each relay, in their order, called as the relays are.
    pub relays: Vec<Adversary>,
}

impl Stage {
    /// A network as planned, with adversaries that are honest at first.
    ///
    /// # Errors
    /// Where a part does not start.
    pub async fn set(plan: Plan) -> Result<Self, Failure> {
        let relays = plan.relays;
        let mut network = Network::planned(Plan { relays: 0, ..plan }).await?;
        let recording = Recording::new(network.clock.clone());
        let vendor = network.vendor.listens_at();
        let selling = Adversary::before(vendor, SELLING, &recording).await?;
        let redeeming = Adversary::before(vendor, REDEEMING, &recording).await?;
        let mut before_relays = Vec::new();
        for n in 0..relays {
            let name = format!("relay-{n}");
            let mut relay = network.new_relay(&name, redeeming.address()).await?;
            let adversary = Adversary::before(relay.config().listen, &name, &recording).await?;
            relay.seen_at(adversary.address());
            network.relays.push(relay);
            before_relays.push(adversary);
        }
        network.vendor.seen_at(selling.address());
        Ok(Self { network, recording, selling, redeeming, relays: before_relays })
    }

    /// Everybody passes everything on as it is.
    pub fn be_honest(&self) {
        for adversary in self.relays.iter().chain([&self.selling, &self.redeeming]) {
            adversary.be_honest();
        }
    }

    /// The vendor's manifest.
    ///
    /// # Errors
    /// Where the vendor is stopped.
    pub fn manifest(&self) -> Result<Arc<Manifest>, Failure> {
        Ok(self.network.vendor.issuer()?.manifest())
    }

    /// The keys of the certificates that wallets themselves showed to the vendor since `mark`, in whatever message.
    ///
    /// # Errors
    /// Where the vendor is stopped.
    pub fn keys_at_the_vendor(
        &self,
        mark: usize,
    ) -> Result<std::collections::BTreeSet<CertificateKey>, Failure> {
        let manifest = self.manifest()?;
        let all = self.recording.since(mark);
        Ok(keys_shown(all.iter().filter(|exchange| exchange.peer == SELLING), &manifest))
    }
}

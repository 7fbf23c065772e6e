//! From a grant to certificates.
//!
//! What is sent follows from the seed, the grant's index and the list of key ids. The list is on disk before the first
//! request, so that a repeated request is the same to the byte, and the vendor's stored answer is found again.

use std::sync::Arc;

use scrip_protocol::{
    id::KeyId,
    issuance::{Blinding, Certificate, GrantAnswer, IssuanceAnswer, IssuanceRequest},
    manifest::{KeyUse, Manifest},
    problem::ProblemType,
    seed::{Counter, WalletSeed},
    time::UnixSeconds,
};

use super::{
    Wallet, apart,
    buy::{Bought, bought, check_grant, is},
};
use crate::{
    error::WalletError,
    net::VendorClient,
    records::{Blob, CertificateRecord, CertificateState, Purchase, PurchaseState, RestoreRecord},
    store::Changes,
};

/// Steps of an issuance: keys are chosen and asked for, three times where the vendor's windows move meanwhile.
const ATTEMPTS: usize = 6;

impl Wallet {
    /// Granted → Requested → Issued.
    pub(super) async fn issue(
        &self,
        client: &VendorClient,
        mut purchase: Purchase,
    ) -> Result<Bought, WalletError> {
        let mut refused = None;
        for _ in 0..ATTEMPTS {
            let (answer, keys) = match &purchase.state {
                PurchaseState::Requested { answer, keys } => (answer.clone(), keys.clone()),
                PurchaseState::Granted { answer } if answer.minted => {
                    let answer = answer.clone();
                    return self.collect_issued(client, &mut purchase, answer).await;
                }
                PurchaseState::Granted { answer } => {
                    let answer = answer.clone();
                    let keys = self.choose_keys(&purchase, &answer).await?;
                    // There may be newer ones in a manifest that comes another day. Now nobody is asked for it.
                    if refused.as_ref() == Some(&keys) {
                        return Err(WalletError::KeysRefused);
                    }
                    purchase.state = PurchaseState::Requested { answer, keys };
                    self.store.commit(Changes::default().put(&purchase)).await?;
                    self.at("wallet.issuance.recorded");
                    continue;
                }
                PurchaseState::Ordering { .. } | PurchaseState::Asked => {
                    return Err(WalletError::OtherAnswer);
                }
                PurchaseState::Issued { answer, .. } => return Ok(bought(&purchase, answer)),
                PurchaseState::Unusable { .. } => return Err(WalletError::PurchaseUnusable),
            };
            match self.request_pack(client, &mut purchase, answer, keys.clone()).await? {
                Some(bought) => return Ok(bought),
                None => refused = Some(keys),
            }
        }
        Err(WalletError::KeysRefused)
    }

    /// Sends the recorded request. `None` where the vendor refuses its keys for good and others must be chosen.
    async fn request_pack(
        &self,
        client: &VendorClient,
        purchase: &mut Purchase,
        answer: GrantAnswer,
        keys: Vec<KeyId>,
    ) -> Result<Option<Bought>, WalletError> {
        let manifest = Arc::new(self.known_manifest().await?);
        let Some(blindings) = self.blind(&manifest, purchase.grant, keys).await? else {
            // The vendor dropped a key from its manifest since.
            return self.choose_again(purchase, answer).await;
        };
        let items = blindings.iter().map(|blinding| blinding.item().clone()).collect();
        let request = IssuanceRequest { items }.encode();
        self.at("wallet.issuance.before_send");
        let sent = client.issue(&self.secret_of(purchase), request).await;
        self.at("wallet.issuance.after_answer");
        match sent {
            Ok(signed) => {
                let certificates = finish(manifest, blindings, signed).await?;
                self.keep(purchase, answer, certificates, CertificateState::Held).await.map(Some)
            }
            Err(error)
                if is(&error, ProblemType::KeyOutsideWindow)
                    || is(&error, ProblemType::KeyUnknown)
                    || is(&error, ProblemType::PackMismatch) =>
            {
                self.choose_again(purchase, answer).await
            }
            Err(error) if is(&error, ProblemType::GrantCancelled) => {
                purchase.state = PurchaseState::Unusable { answer };
                self.store.commit(Changes::default().put(&*purchase)).await?;
                self.at("wallet.issuance.cancelled");
                Err(WalletError::PurchaseCancelled)
            }
            // What it gives was asked for with this seed, or nothing can be made of it.
            Err(error) if is(&error, ProblemType::GrantUsed) => {
                self.collect_issued(client, purchase, answer).await.map(Some)
            }
            Err(error) => Err(WalletError::call(&self.vendor.authority)(error)),
        }
    }

    /// Requested → Granted: where the time of the keys that were asked for is over, others are chosen.
    async fn choose_again(
        &self,
        purchase: &mut Purchase,
        answer: GrantAnswer,
    ) -> Result<Option<Bought>, WalletError> {
        purchase.state = PurchaseState::Granted { answer };
        self.store.commit(Changes::default().put(&*purchase)).await?;
        self.at("wallet.issuance.keys_refused");
        Ok(None)
    }

    /// One key for each certificate of the pack, in the pack's order, from a manifest that is everybody's.
    async fn choose_keys(
        &self,
        purchase: &Purchase,
        answer: &GrantAnswer,
    ) -> Result<Vec<KeyId>, WalletError> {
        let manifest = self.manifest_to_buy_under().await?;
        let now = self.now();
        check_grant(purchase, &manifest, answer, now)?;
        let key_use = if answer.test { KeyUse::Test } else { KeyUse::Production };
        let mut keys = Vec::new();
        for (exponent, count) in answer.pack.entries() {
            let key = manifest
                .issuing(key_use, exponent, now)
                .ok_or(WalletError::NoIssuingKey(exponent))?;
            keys.extend(std::iter::repeat_n(key.id(), count.into()));
        }
        Ok(keys)
    }

    /// Fetches what was signed for a grant before, as a restored wallet does. Where this wallet's seed had an earlier life, that may
    /// have spent the certificates, and they are in doubt. Else nobody but this wallet can have asked for them, whatever the vendor
    /// says of the grant.
    pub(super) async fn collect_issued(
        &self,
        client: &VendorClient,
        purchase: &mut Purchase,
        answer: GrantAnswer,
    ) -> Result<Bought, WalletError> {
        let signed = match client.issued(&self.secret_of(purchase)).await {
            Ok(signed) => signed,
            Err(error) if is(&error, ProblemType::GrantUnused) => {
                purchase.state = PurchaseState::Unusable { answer };
                self.store.commit(Changes::default().put(&*purchase)).await?;
                return Err(WalletError::PurchaseUnusable);
            }
            Err(error) => return Err(WalletError::call(&self.vendor.authority)(error)),
        };
        let manifest = Arc::new(self.known_manifest().await?);
        let keys = signed.items.iter().map(|item| item.key_id).collect();
        let blindings = self.blind(&manifest, purchase.grant, keys).await?;
        let blindings = blindings.ok_or(WalletError::OtherAnswer)?;
        let certificates = finish(manifest, blindings, signed).await?;
        self.keep(purchase, answer, certificates, self.state_of_found().await?).await
    }

    /// What certificates are that this wallet did not see being signed.
    async fn state_of_found(&self) -> Result<CertificateState, WalletError> {
        let restored = self.store.get::<RestoreRecord>(&[]).await?.is_some();
        let lived_before = restored || self.copied().await?.is_some();
        Ok(if lived_before { CertificateState::InDoubt } else { CertificateState::Held })
    }

    /// Requested → Issued: the certificates and the purchase's end are one transaction.
    async fn keep(
        &self,
        purchase: &mut Purchase,
        answer: GrantAnswer,
        certificates: Vec<Minted>,
        state: CertificateState,
    ) -> Result<Bought, WalletError> {
        let state = match self.may_be_spent(purchase.grant).await? {
            true => CertificateState::InDoubt,
            false => state,
        };
        let privacy = self.privacy().await;
        let mut entropy = self.environment.entropy.clone();
        let purse = self.lock_purse().await;
        let result = bought(purchase, &answer);
        purchase.state = PurchaseState::Issued { answer, at: self.now() };
        let mut changes = Changes::default().put(&*purchase);
        let mut records = Vec::new();
        for (position, minted) in (0..).zip(certificates) {
            let token = minted.certificate.token();
            let record = CertificateRecord {
                key: minted.certificate.key(),
                token: Blob(minted.certificate.token_bytes().to_vec()),
                key_id: token.key_id,
                exponent: minted.exponent,
                spend_until: minted.spend_until,
                ripe: privacy.ripe_at(self.now(), minted.spend_until, &mut entropy),
                grant: purchase.grant,
                position,
                test: minted.test,
                state,
                looked: None,
                listed: false,
                seen_by: Default::default(),
                proof: None,
            };
            // A restore that runs again must not make a spent certificate a doubtful one.
            if purse.get(&record.key).is_none() {
                changes.add(&record);
                records.push(record);
            }
        }
        self.commit_purse(purse, changes, records).await?;
        self.at("wallet.issuance.stored");
        Ok(result)
    }

    /// Derives and blinds the certificates of a request; `None` where the manifest does not have a key.
    async fn blind(
        &self,
        manifest: &Arc<Manifest>,
        grant: u32,
        keys: Vec<KeyId>,
    ) -> Result<Option<Vec<Blinding>>, WalletError> {
        let (seed, manifest) = (self.seed.clone(), manifest.clone());
        apart(move || blind_all(&seed, &manifest, grant, &keys)).await?
    }
}

/// A certificate with what the wallet keeps about its key.
struct Minted {
    certificate: Certificate,
    exponent: scrip_protocol::credits::Exponent,
    spend_until: UnixSeconds,
    test: bool,
}

fn blind_all(
    seed: &WalletSeed,
    manifest: &Manifest,
    grant: u32,
    keys: &[KeyId],
) -> Result<Option<Vec<Blinding>>, WalletError> {
    let mut blindings = Vec::with_capacity(keys.len());
    for (position, id) in (0..).zip(keys) {
        let Some(key) = manifest.key(id) else { return Ok(None) };
        blindings.push(Blinding::start(seed, manifest, key, Counter::new(grant, position))?);
    }
    Ok(Some(blindings))
}

/// Unblinds and verifies every signature.
async fn finish(
    manifest: Arc<Manifest>,
    blindings: Vec<Blinding>,
    signed: IssuanceAnswer,
) -> Result<Vec<Minted>, WalletError> {
    apart(move || {
        if blindings.len() != signed.items.len() {
            return Err(WalletError::OtherAnswer);
        }
        let pairs = blindings.into_iter().zip(&signed.items);
        pairs
            .map(|(blinding, item)| {
                let key = manifest.key(&blinding.item().key_id).ok_or(WalletError::OtherAnswer)?;
                let certificate = blinding.finish(key, item)?;
                let spend_until = key.windows().spend_until;
                let (exponent, test) = (key.exponent(), key.key_use() == KeyUse::Test);
                Ok(Minted { certificate, exponent, spend_until, test })
            })
            .collect()
    })
    .await?
}

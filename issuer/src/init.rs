//! Making a vendor: its identity, its first epoch of keys and its first manifest, stored at once.

use rand_core::{CryptoRng, RngCore};
use scrip_protocol::{
    address::VendorAddress,
    credits::Exponent,
    id::VendorId,
    keys::SigningKey,
    manifest::{EpochBody, Manifest, ManifestBody, Windows},
    rsa::TokenPublicKey,
    time::UnixSeconds,
};
use scrip_runtime::{
    passphrase::Passphrase,
    sealed::{KdfHeader, SealParams, SealingKey, seal_with_key},
};

use crate::{
    config::{Config, EpochConfig},
    error::InitError,
    keys::{RECEIPT, ROOT, denomination, generate_rsa},
    store::{KeyMaterial, SealedKey, Store},
};

/// The number of the first epoch.
const FIRST_EPOCH: u32 = 1;

/// What `init` needs to know.
pub struct InitOptions {
    /// The configuration: database, denominations, windows.
    pub config: Config,
    /// The issuer name of the challenge that all certificates answer (RFC 9577), the public host and port where none
    /// is given. It can never be changed: every certificate carries its hash.
    pub issuer_name: Option<String>,
    /// What deriving the sealing key from the passphrase costs.
    pub seal_params: SealParams,
}

/// Makes a vendor and returns its address.
///
/// # Errors
/// [`InitError`]; nothing was stored then.
pub async fn init(
    options: &InitOptions,
    passphrase: &Passphrase,
    now: UnixSeconds,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<VendorAddress, InitError> {
    let config = &options.config;
    let authority = config.authority();
    // Before the work of making keys, to find a wrong URL at once.
    let store = Store::open(&config.database, config.database_connections, true).await?;
    let name = options.issuer_name.clone().unwrap_or_else(|| authority.clone());
    let material = make(&config.epoch, name, options.seal_params, passphrase, now, rng)?;
    let stored = store.initialise(&material).await?;
    store.close().await;
    if !stored {
        return Err(InitError::AlreadyInitialised);
    }
    Ok(VendorAddress { id: material.vendor_id, authority })
}

/// Makes all keys, and the manifest that lists them.
fn make(
    epoch: &EpochConfig,
    issuer_name: String,
    seal_params: SealParams,
    passphrase: &Passphrase,
    now: UnixSeconds,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<KeyMaterial, InitError> {
    let header = KdfHeader::generate(seal_params, rng);
    let sealing = SealingKey::derive(passphrase, &header);
    let mut keys = Vec::new();
    let mut seal = |name: &str, secret: &[u8], rng: &mut _| {
        let sealed = seal_with_key(&sealing, name.as_bytes(), secret, rng);
        keys.push(SealedKey { name: name.to_owned(), sealed });
    };
    let root = SigningKey::generate(rng);
    let receipt = SigningKey::generate(rng);
    seal(ROOT, root.seed(), rng);
    seal(RECEIPT, receipt.seed(), rng);
    let mut moduli = Vec::new();
    let mut last_bytes = [false; 256];
    for exponent in exponents(epoch)? {
        let key = generate_distinct(&mut last_bytes)?;
        seal(&denomination(FIRST_EPOCH, exponent), &key.private, rng);
        moduli.push((exponent, key.modulus));
    }
    let vendor_id = VendorId::of(&root.public());
    let body = ManifestBody {
        root_key: root.public(),
        version: 1,
        issuer_name,
        receipt_key: receipt.public(),
        epochs: vec![EpochBody { number: FIRST_EPOCH, windows: windows(epoch, now), keys: moduli }],
    };
    let manifest = body.sign(&root);
    Manifest::open(&manifest, &vendor_id)?; // the rules are checked where every reader checks them
    let kdf_header = header.encode().to_vec();
    Ok(KeyMaterial { kdf_header, keys, vendor_id, version: body.version, manifest })
}

/// The configured exponents, ascending.
fn exponents(epoch: &EpochConfig) -> Result<Vec<Exponent>, InitError> {
    let mut exponents = epoch.denominations.clone();
    exponents.sort_unstable();
    let distinct = exponents.windows(2).all(|pair| pair[0] != pair[1]);
    if distinct && !exponents.is_empty() { Ok(exponents) } else { Err(InitError::Denominations) }
}

/// A key whose id ends in a byte that no other has: RFC 9578 requests name a key by that byte alone.
fn generate_distinct(last_bytes: &mut [bool; 256]) -> Result<crate::keys::NewRsaKey, InitError> {
    loop {
        let key = generate_rsa()?;
        let public =
            TokenPublicKey::from_modulus(key.modulus).map_err(|_| InitError::KeyGeneration)?;
        let last = usize::from(public.id().as_bytes()[31]);
        if !std::mem::replace(&mut last_bytes[last], true) {
            return Ok(key);
        }
    }
}

/// The windows begin with the day, so that a wallet whose clock is a little late can buy at once.
fn windows(epoch: &EpochConfig, now: UnixSeconds) -> Windows {
    let issue_from = now.day().start();
    let issue_until = issue_from.plus(epoch.issue_for.0);
    let spend_until = issue_until.plus(epoch.spend_for.0);
    Windows {
        issue_from,
        issue_until,
        spend_until,
        redeem_until: spend_until.plus(epoch.redeem_for.0),
    }
}

//! Making a vendor: its identity, its first epoch of keys and its first manifest, stored at once.

use rand_core::{CryptoRng, RngCore};
use scrip_protocol::{
    address::VendorAddress,
    id::VendorId,
    keys::SigningKey,
    manifest::{Manifest, ManifestBody, ReceiptKeys, denominations},
    time::UnixSeconds,
};
use scrip_runtime::{
    passphrase::Passphrase,
    sealed::{KdfHeader, SealParams},
};

use crate::{
    config::Config,
    epochs::{check_length, first},
    error::InitError,
    keys::{ROOT, Vault, make_epoch, receipt},
    store::{KeyMaterial, ManifestVersion, Store},
};

/// The number of the first epoch.
const FIRST_EPOCH: u32 = 1;

/// The version of the first manifest, since which its receipt key is there.
const FIRST_VERSION: u64 = 1;

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
    check_length(&config.epoch)?;
    let authority = config.authority();
    // Before the work of making keys, to find a wrong URL at once.
    let store = Store::open(&config.database, config.database_connections, true).await?;
    let name = options.issuer_name.clone().unwrap_or_else(|| authority.clone());
    let material = make(config, name, options.seal_params, passphrase, now, rng)?;
    let stored = store.initialise(&material).await?;
    store.close().await;
    if !stored {
        return Err(InitError::AlreadyInitialised);
    }
    Ok(VendorAddress { id: material.version.vendor_id, authority })
}

/// Makes all keys, and the manifest that lists them.
fn make(
    config: &Config,
    issuer_name: String,
    seal_params: SealParams,
    passphrase: &Passphrase,
    now: UnixSeconds,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<KeyMaterial, InitError> {
    let header = KdfHeader::generate(seal_params, rng);
    let vault = Vault::new(passphrase, &header);
    let root = SigningKey::generate(rng);
    let signs_receipts = SigningKey::generate(rng);
    let sealed_receipt = vault.seal(&receipt(FIRST_VERSION), signs_receipts.seed(), rng);
    let mut keys = vec![vault.seal(ROOT, root.seed(), rng), sealed_receipt];
    let products = config.products();
    let exponents = denominations(&products);
    let (mut epochs, mut last_bytes) = (Vec::new(), [false; 256]);
    for (number, new) in (FIRST_EPOCH..).zip(first(&config.epoch, now)) {
        let made = make_epoch(number, new, &exponents, &vault, &mut last_bytes, rng)?;
        keys.extend(made.sealed);
        epochs.push(made.epoch);
    }
    let vendor_id = VendorId::of(&root.public());
    let body = ManifestBody {
        root_key: root.public(),
        version: FIRST_VERSION,
        issuer_name,
        receipt_keys: ReceiptKeys::first(signs_receipts.public()),
        products,
        operators: Vec::new(),
        epochs,
    };
    let manifest = body.sign(&root);
    Manifest::open(&manifest, &vendor_id)?; // the rules are checked where every reader checks them
    let kdf_header = header.encode().to_vec();
    let version = ManifestVersion { vendor_id, version: body.version, manifest, keys };
    Ok(KeyMaterial { kdf_header, version })
}

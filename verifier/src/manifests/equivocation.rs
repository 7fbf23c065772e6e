//! Evidence that a vendor signed two manifests that contradict each other: the one that came second, beside the one that
//! is held.

use std::path::Path;

use scrip_protocol::{
    id::{ManifestDigest, VendorId},
    manifest::Manifest,
};
use scrip_runtime::files::{FileError, replace_atomically};

use super::ManifestsError;

const SUFFIX: &str = ".evidence";

/// Keeps a manifest that contradicts the one that is held. The held one is kept too, since it is what evidence needs.
pub(super) fn keep(directory: &Path, offered: &Manifest, held: &Manifest) -> Result<(), FileError> {
    let vendor = offered.vendor_id();
    for manifest in [held, offered] {
        let name = format!("{vendor}.{}.{}{SUFFIX}", manifest.version(), manifest.digest());
        replace_atomically(&directory.join(name), manifest.bytes())?;
    }
    Ok(())
}

/// The digests of all manifests of `vendor` that contradict another one.
pub(super) fn stored(
    directory: &Path,
    vendor: &VendorId,
) -> Result<Vec<ManifestDigest>, ManifestsError> {
    let failed = |source| ManifestsError::Read { path: directory.into(), source };
    let prefix = format!("{vendor}.");
    let mut digests: Vec<ManifestDigest> = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let digest: Option<ManifestDigest> = name
            .to_str()
            .and_then(|name| name.strip_prefix(&prefix)?.strip_suffix(SUFFIX)?.split_once('.'))
            .and_then(|(_, digest)| digest.parse().ok());
        digests.extend(digest);
    }
    digests.sort_unstable();
    Ok(digests)
}

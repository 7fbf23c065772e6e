//! Evidence that a vendor signed two manifests that contradict each other: the one that came second, beside the one that
//! is held.

use std::path::{Path, PathBuf};

use scrip_protocol::{
    id::{ManifestDigest, VendorId},
    manifest::Manifest,
};
use scrip_runtime::files::{FileError, replace_atomically};

use super::ManifestsError;

const SUFFIX: &str = ".evidence";
/// So many manifests that contradict the held one are kept of a version. One is proof; a vendor that signs a new one for
/// each request must not fill the disk.
const MOST: usize = 4;

/// Keeps a manifest that contradicts the one that is held, up to [`MOST`] of a version. The held one is kept too, since it
/// is what evidence needs.
pub(super) fn keep(directory: &Path, offered: &Manifest, held: &Manifest) -> Result<(), FileError> {
    let (held_path, offered_path) = (path_of(directory, held), path_of(directory, offered));
    replace_atomically(&held_path, held.bytes())?;
    if offered_path.exists() || others(directory, &held_path, held)? < MOST {
        replace_atomically(&offered_path, offered.bytes())?;
    }
    Ok(())
}

fn path_of(directory: &Path, manifest: &Manifest) -> PathBuf {
    let (vendor, version) = (manifest.vendor_id(), manifest.version());
    directory.join(format!("{vendor}.{version}.{}{SUFFIX}", manifest.digest()))
}

/// How many manifests of the same version are kept beside the one that is held.
fn others(directory: &Path, held_path: &Path, held: &Manifest) -> Result<usize, FileError> {
    let failed = |source| FileError::Io { action: "list", path: directory.into(), source };
    let prefix = format!("{}.{}.", held.vendor_id(), held.version());
    let mut count = 0;
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let is_one =
            name.to_str().is_some_and(|name| name.starts_with(&prefix) && name.ends_with(SUFFIX));
        count += usize::from(is_one && entry.path() != held_path);
    }
    Ok(count)
}

/// The digests of all manifests of `vendor` that contradict another one.
pub(super) fn stored(
    directory: &Path,
    vendor: &VendorId,
) -> Result<Vec<ManifestDigest>, ManifestsError> {
    let mut digests: Vec<ManifestDigest> =
        files(directory, vendor)?.into_iter().map(|(digest, _)| digest).collect();
    digests.sort_unstable();
    Ok(digests)
}

/// Whether one of them is of this version.
pub(super) fn has_version(
    directory: &Path,
    vendor: &VendorId,
    version: u64,
) -> Result<bool, ManifestsError> {
    let prefix = format!("{vendor}.{version}.");
    let names = files(directory, vendor)?;
    let mut names = names.iter().filter_map(|(_, path)| path.file_name()?.to_str());
    Ok(names.any(|name| name.starts_with(&prefix)))
}

/// Where these are.
pub(super) fn paths(directory: &Path, vendor: &VendorId) -> Result<Vec<PathBuf>, ManifestsError> {
    Ok(files(directory, vendor)?.into_iter().map(|(_, path)| path).collect())
}

fn files(
    directory: &Path,
    vendor: &VendorId,
) -> Result<Vec<(ManifestDigest, PathBuf)>, ManifestsError> {
    let failed = |source| ManifestsError::Read { path: directory.into(), source };
    let prefix = format!("{vendor}.");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let digest: Option<ManifestDigest> = name
            .to_str()
            .and_then(|name| name.strip_prefix(&prefix)?.strip_suffix(SUFFIX)?.split_once('.'))
            .and_then(|(_, digest)| digest.parse().ok());
        found.extend(digest.map(|digest| (digest, entry.path())));
    }
    Ok(found)
}

//! The wallet's directory: who may read it, and what was left in it.

use std::{fs, path::Path};

use super::{super::put::AGAIN, Finding};
use crate::{
    error::WalletError,
    store::{UNFINISHED, UNFINISHED_JOURNAL},
};

/// What is wrong with the directory; one that cannot be looked at is somebody else's error.
pub(super) fn check(directory: &Path) -> Vec<Finding> {
    let mut findings: Vec<Finding> = left_over(directory)
        .into_iter()
        .map(|path| {
            let what = format!("{} was left by a program that died.", path.display());
            let todo = "Nothing reads it; `scrip doctor --repair` removes it.";
            Finding::open("file.left", what, todo)
        })
        .collect();
    findings.extend(readable_by_others(directory).into_iter().map(|path| {
        let what = format!("Other users of this machine may open {}.", path.display());
        let todo = "It is sealed under the passphrase; `scrip doctor --repair` takes their permission away.";
        Finding::open("file.mode", what, todo)
    }));
    findings
}

/// Removes what was left, and keeps others out.
pub(super) fn repair(directory: &Path) -> Result<(), WalletError> {
    for path in left_over(directory) {
        let removed =
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(WalletError::io("remove", &path))?;
    }
    for path in readable_by_others(directory) {
        keep_others_out(&path)?;
    }
    Ok(())
}

/// Files that are only there after a crash. The caller has the wallet open, so that nobody is writing them.
fn left_over(directory: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let is_left = |name: &str| {
        let is_temporary = name.starts_with(".wallet.db") && name.ends_with(".tmp");
        is_temporary || name == UNFINISHED || name == UNFINISHED_JOURNAL || name == AGAIN
    };
    let names = entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_left));
    names.map(|entry| entry.path()).collect()
}

#[cfg(unix)]
fn readable_by_others(directory: &Path) -> Vec<std::path::PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let paths = [directory.to_owned(), directory.join(crate::store::DATABASE)];
    let is_open = |path: &std::path::PathBuf| {
        fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
    };
    paths.into_iter().filter(is_open).collect()
}

#[cfg(unix)]
fn keep_others_out(path: &Path) -> Result<(), WalletError> {
    use std::os::unix::fs::PermissionsExt;
    let failed = || WalletError::io("change the permissions of", path);
    let mode = fs::metadata(path).map_err(failed())?.permissions().mode() & 0o700;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed())
}

#[cfg(not(unix))]
fn readable_by_others(_directory: &Path) -> Vec<std::path::PathBuf> {
    Vec::new()
}

#[cfg(not(unix))]
fn keep_others_out(_path: &Path) -> Result<(), WalletError> {
    Ok(())
}

//! The style sheet, under a path that changes with it.

use std::sync::LazyLock;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// The style sheet.
pub(in crate::admin) const TEXT: &str = include_str!("style.css");
/// The icon, small enough to be in the page.
pub(super) const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 20 20'%3E%3Cpath fill='%23187a6a' d='M2 4h16v4a2 2 0 0 0 0 4v4H2v-4a2 2 0 0 0 0-4z'/%3E%3C/svg%3E";

/// Its path, with a digest in it.
pub(in crate::admin) fn path() -> &'static str {
    static PATH: LazyLock<String> = LazyLock::new(|| {
        let digest = HEXLOWER.encode(&Sha256::digest(TEXT)[..8]);
        format!("/admin/style-{digest}.css")
    });
    &PATH
}

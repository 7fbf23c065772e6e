//! What a payment service and the vendor share: secrets, and the signatures of notifications that are made with them.

use std::{fmt, fs, path::Path, sync::Arc};

use aws_lc_rs::hmac;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::SetupError;

/// A secret of the configuration. It is never printed, and wiped when its last copy goes.
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Takes over `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Arc::new(Zeroizing::new(text.into())))
    }

    /// The secret itself.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// The secrets of the configuration and those of a file, one a line. There must be one, and none may be empty.
pub(super) fn gather(
    source: &'static str,
    key: &str,
    given: &[Secret],
    file: Option<&Path>,
) -> Result<Vec<Secret>, SetupError> {
    let mut secrets = given.to_vec();
    if let Some(path) = file {
        let text = read(source, path)?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        secrets.extend(lines.map(Secret::new));
    }
    if secrets.is_empty() || secrets.iter().any(|secret| secret.expose().is_empty()) {
        return Err(SetupError::new(
            source,
            format!("`{key}` or `{key}_file` is missing or empty"),
        ));
    }
    Ok(secrets)
}

/// The content of a file that holds a secret.
pub(super) fn read(source: &'static str, path: &Path) -> Result<Zeroizing<String>, SetupError> {
    let unreadable =
        |error| SetupError::new(source, format!("cannot read {}: {error}", path.display()));
    fs::read_to_string(path).map(Zeroizing::new).map_err(unreadable)
}

/// Whether `tag` is the HMAC-SHA256 of `message` under one of `secrets`. Takes as long for a tag that is nearly right as
/// for any other.
pub(super) fn authenticates(secrets: &[Secret], message: &[u8], tag: &[u8]) -> bool {
    secrets.iter().any(|secret| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
        hmac::verify(&key, message, tag).is_ok()
    })
}

/// The HMAC-SHA256 of `message`, for services that are played in tests.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn sign(secret: &str, message: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    data_encoding::HEXLOWER.encode(hmac::sign(&key, message).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::new("whsec_1")), "Secret");
    }

    #[test]
    fn secrets_come_from_the_configuration_and_from_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "two\n\n three \n").unwrap();
        let found = gather("stripe", "secrets", &[Secret::new("one")], Some(file.path())).unwrap();
        assert_eq!(found.iter().map(Secret::expose).collect::<Vec<_>>(), ["one", "two", "three"]);
        for (given, file) in [
            (vec![], None),
            (vec![Secret::new("")], Some(file.path())),
            (vec![], Some(Path::new("/nowhere"))),
        ] {
            let error = gather("stripe", "secrets", &given, file).unwrap_err().to_string();
            assert!(error.contains("[sources.stripe]") && !error.contains("two"), "{error}");
        }
    }

    #[test]
    fn any_secret_authenticates_and_no_other_does() {
        // RFC 4231, test case 2.
        let tag = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let tag = data_encoding::HEXLOWER.decode(tag.as_bytes()).unwrap();
        let message = b"what do ya want for nothing?";
        let secrets = [Secret::new("other"), Secret::new("Jefe")];
        assert!(authenticates(&secrets, message, &tag));
        assert!(!authenticates(&secrets[..1], message, &tag));
        assert!(!authenticates(&secrets, b"what do ya want for nothing", &tag));
        assert!(!authenticates(&secrets, message, &tag[..31]));
        assert!(!authenticates(&secrets, message, b""));
    }
}

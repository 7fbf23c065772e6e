//! Apple's certificates: from the one that signed, over one intermediate, to the root that this program has in it.
//!
//! The certificates come with what they are to prove, so nothing in them is believed but what the root has signed. The
//! third one that is sent, which calls itself the root, is not even read.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use scrip_protocol::time::UnixSeconds;
use webpki::{
    EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, anchor_from_trusted_cert,
    aws_lc_rs::{ECDSA_P256_SHA256, ECDSA_P256_SHA384, ECDSA_P384_SHA256, ECDSA_P384_SHA384},
};
use x509_cert::der::{Decode, oid::ObjectIdentifier};

use super::untrusted::Untrusted;

/// "Apple Root CA - G3", as in <https://www.apple.com/certificateauthority/>.
static APPLE_ROOT: &[u8] = include_bytes!("AppleRootCA-G3.cer");

/// What Apple marks the certificates with that sign for its App Store.
const STORE_MARKER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.6.11.1");
/// What Apple marks the intermediate with that issues them, "Worldwide Developer Relations".
const DEVELOPER_RELATIONS_MARKER: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113635.100.6.2.1");

/// What certificates may be signed with. Apple uses P-384 with SHA-384 today.
const ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] =
    &[ECDSA_P256_SHA256, ECDSA_P256_SHA384, ECDSA_P384_SHA256, ECDSA_P384_SHA384];

/// The certificate that all trust comes from.
pub(super) struct Root(CertificateDer<'static>);

/// The signer's public key, as a DER SubjectPublicKeyInfo.
#[derive(Debug)]
pub(super) struct SignerKey(pub(super) Vec<u8>);

impl Root {
    /// Apple's.
    pub(super) fn apple() -> Self {
        Self(CertificateDer::from_slice(APPLE_ROOT))
    }

    /// Any other: a program as it is built for use has no way to get here.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn of_tests(der: Vec<u8>) -> Self {
        Self(CertificateDer::from(der))
    }

    /// The key of `leaf`, which is Apple's for signing in the App Store at the time `at`.
    ///
    /// # Errors
    /// [`Untrusted`].
    pub(super) fn signer(
        &self,
        leaf: &[u8],
        intermediate: &[u8],
        at: UnixSeconds,
    ) -> Result<SignerKey, Untrusted> {
        let chain = |_| Untrusted::Chain;
        let anchors = [anchor_from_trusted_cert(&self.0).map_err(chain)?];
        let leaf_der = CertificateDer::from(leaf);
        let intermediates = [CertificateDer::from(intermediate)];
        let end = EndEntityCert::try_from(&leaf_der).map_err(chain)?;
        let at = UnixTime::since_unix_epoch(Duration::from_secs(at.0));
        let path = end
            .verify_for_usage(ALGORITHMS, &anchors, &intermediates, at, AnyUsage, None, None)
            .map_err(chain)?;
        // Without this the root could have signed the leaf itself, and the marker would be read in a certificate beside the path.
        if path.intermediate_certificates().count() != 1 {
            return Err(Untrusted::Chain);
        }
        if !has_extension(leaf, STORE_MARKER)? {
            return Err(Untrusted::LeafMarker);
        }
        if !has_extension(intermediate, DEVELOPER_RELATIONS_MARKER)? {
            return Err(Untrusted::IntermediateMarker);
        }
        Ok(SignerKey(end.subject_public_key_info().to_vec()))
    }
}

/// Apple states no extended key usage; its markers take their place.
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}

fn has_extension(certificate: &[u8], id: ObjectIdentifier) -> Result<bool, Untrusted> {
    let certificate =
        x509_cert::Certificate::from_der(certificate).map_err(|_| Untrusted::Chain)?;
    let extensions = certificate.tbs_certificate().extensions();
    Ok(extensions.is_some_and(|list| list.iter().any(|extension| extension.extn_id == id)))
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use sha2::{Digest, Sha256};

    use super::*;

    /// Apple's own: what it signs for the App Store with until October 2027, and who issued that.
    const LEAF: &[u8] = include_bytes!("tests/apple-store-2025.cer");
    const INTERMEDIATE: &[u8] = include_bytes!("tests/apple-developer-relations-g6.cer");
    const NOT_BEFORE: UnixSeconds = UnixSeconds(1758311091);
    const NOT_AFTER: UnixSeconds = UnixSeconds(1823449643);

    #[test]
    fn the_root_is_the_one_that_apple_publishes() {
        assert_eq!(
            HEXLOWER.encode(&Sha256::digest(APPLE_ROOT)),
            "63343abfb89a6a03ebb57e9b3f5fa7be7c4f5c756f3017b3a8c488c3653e9179"
        );
    }

    #[test]
    fn a_chain_of_apples_is_valid_while_it_lasts() {
        let root = Root::apple();
        for at in [NOT_BEFORE, NOT_AFTER] {
            assert_eq!(root.signer(LEAF, INTERMEDIATE, at).unwrap().0.len(), 91, "a P-256 key");
        }
        for at in [NOT_BEFORE.minus(1), NOT_AFTER.plus(1)] {
            assert_eq!(root.signer(LEAF, INTERMEDIATE, at).unwrap_err(), Untrusted::Chain);
        }
    }

    #[test]
    fn certificates_out_of_their_place_are_refused() {
        let root = Root::apple();
        for (leaf, intermediate) in [
            (INTERMEDIATE, LEAF),
            (LEAF, LEAF),
            (INTERMEDIATE, INTERMEDIATE),
            (LEAF, APPLE_ROOT),
            (INTERMEDIATE, APPLE_ROOT),
            (APPLE_ROOT, INTERMEDIATE),
            (LEAF, &[]),
            (&[], INTERMEDIATE),
        ] {
            assert_eq!(root.signer(leaf, intermediate, NOT_BEFORE).unwrap_err(), Untrusted::Chain);
        }
    }

    #[test]
    fn no_changed_byte_of_the_signer_goes_unnoticed() {
        let root = Root::apple();
        for at in 0..LEAF.len() {
            let mut changed = LEAF.to_vec();
            changed[at] ^= 1;
            assert!(root.signer(&changed, INTERMEDIATE, NOT_BEFORE).is_err(), "byte {at}");
        }
    }
}

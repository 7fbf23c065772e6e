//! Which TLS certificates a client trusts.

use std::sync::{Arc, OnceLock};

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::ClientError;

/// TLS for a client that trusts the system's roots and those of `extra_pem`, with the
/// cryptography of aws-lc, whatever the process may have chosen globally.
pub(super) fn client_config(extra_pem: Option<&[u8]>) -> Result<ClientConfig, ClientError> {
    let mut roots = system_roots().clone();
    if let Some(pem) = extra_pem {
        add_pem(&mut roots, pem)?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ClientError::Tls)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn add_pem(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), ClientError> {
    let invalid = |reason: String| ClientError::Roots { reason };
    let mut found = false;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| invalid(error.to_string()))?;
        roots.add(certificate).map_err(|error| invalid(error.to_string()))?;
        found = true;
    }
    if found { Ok(()) } else { Err(invalid("there is no certificate in them".to_owned())) }
}

/// The system's roots, read once: a program may make many clients, one for each circuit.
/// There may be none, as in a bare container, where only plain http and extra roots work.
fn system_roots() -> &'static RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::debug!(%error, "a root certificate of the system could not be read");
        }
        let mut roots = RootCertStore::empty();
        let (usable, _) = roots.add_parsable_certificates(found.certs);
        if usable == 0 {
            tracing::warn!(
                "this system has no root certificates, so that https connections will fail; \
                 install the package ca-certificates"
            );
        }
        roots
    })
}

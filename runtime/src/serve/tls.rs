//! The server's side of TLS.

use std::{path::Path, sync::Arc, time::Duration};

use rustls::{ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::{ServeError, TlsFiles};

/// How often the files are looked at again.
const RELOAD_EVERY: Duration = Duration::from_secs(3_600);

/// A certificate that follows its files.
pub(super) struct Tls {
    files: TlsFiles,
    acceptor: TlsAcceptor,
    loaded: Instant,
}

impl Tls {
    pub(super) fn load(files: TlsFiles) -> Result<Self, ServeError> {
        let acceptor = read(&files)?;
        Ok(Self { files, acceptor, loaded: Instant::now() })
    }

    /// The acceptor for a new connection. Files that have become unusable are reported, and
    /// the certificate that worked stays.
    pub(super) fn acceptor(&mut self) -> TlsAcceptor {
        if self.loaded.elapsed() >= RELOAD_EVERY {
            match read(&self.files) {
                Ok(acceptor) => self.acceptor = acceptor,
                Err(error) => tracing::error!(%error, "keeping the earlier TLS certificate"),
            }
            self.loaded = Instant::now();
        }
        self.acceptor.clone()
    }
}

fn read(files: &TlsFiles) -> Result<TlsAcceptor, ServeError> {
    let TlsFiles { certificate, key } = files;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(file_error(certificate))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(file_error(key))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|source| ServeError::TlsPair {
            certificate: certificate.clone(),
            key: key.clone(),
            source,
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn file_error(path: &Path) -> impl FnOnce(pem::Error) -> ServeError {
    move |error| ServeError::TlsFile { path: path.into(), reason: error.to_string() }
}

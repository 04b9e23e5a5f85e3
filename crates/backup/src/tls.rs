//! TLS towards targets and sources: always verified, against the certificates that this machine trusts.

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use crate::{BackupError, FailureKind};

/// Certificates of this machine, read once. `SSL_CERT_FILE` and `SSL_CERT_DIR` name others.
pub(crate) fn trusted() -> &'static [CertificateDer<'static>] {
    static TRUSTED: LazyLock<Vec<CertificateDer<'static>>> = LazyLock::new(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a certificate that this machine trusts cannot be read");
        }
        found.certs
    });
    &TRUSTED
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// For FTP, which keeps one configuration for control and data connections so that sessions are resumed: some servers demand it.
pub(crate) fn client_config() -> Result<Arc<ClientConfig>, BackupError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted().iter().cloned());
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| BackupError::new(FailureKind::Other, "TLS cannot be set up").because(error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

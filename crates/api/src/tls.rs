//! The TLS identity of a listener. Certificate and minimum version can be exchanged while it runs: new handshakes see the new ones.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use pilothouse_model::Secret;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Why a certificate cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// No certificate in the PEM text, or a broken one.
    #[error("the certificate is not valid PEM: {0}")]
    Certificate(String),
    /// No private key in the PEM text, or a broken one.
    #[error("the private key is not valid PEM")]
    Key,
    /// Both are well-formed and cannot be used together.
    #[error("certificate and key cannot be used: {0}")]
    Pair(String),
}

/// The oldest TLS version that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinimumTls {
    /// 1.2 and 1.3.
    V1_2,
    /// 1.3 only.
    V1_3,
}

/// What a listener shows in TLS handshakes.
pub struct TlsIdentity {
    /// What handshakes read, and the minimum version that it was made for; made anew when one of both changes.
    config: ArcSwap<(Arc<ServerConfig>, MinimumTls)>,
    /// The certificate in force, shared by every `config` ever made.
    certificate: Arc<Exchangeable>,
}

impl TlsIdentity {
    /// Shows this certificate chain (leaf first) and speaks TLS from 1.2 up. The key must belong to the leaf.
    pub fn new(chain_pem: &str, key_pem: &Secret) -> Result<Self, TlsError> {
        let certificate = Arc::new(Exchangeable(ArcSwap::from_pointee(certified_key(chain_pem, key_pem)?)));
        let config = server_config(MinimumTls::V1_2, &certificate)?;
        Ok(Self {
            config: ArcSwap::from_pointee((Arc::new(config), MinimumTls::V1_2)),
            certificate,
        })
    }

    /// Shows another certificate from the next handshake on. On an error the old one stays.
    pub fn replace(&self, chain_pem: &str, key_pem: &Secret) -> Result<(), TlsError> {
        self.certificate.0.store(Arc::new(certified_key(chain_pem, key_pem)?));
        // A resumed session would skip the certificate: start over with an empty session store.
        let minimum = self.config.load().1;
        self.set_minimum(minimum)
    }

    /// Changes the oldest version spoken, from the next handshake on.
    pub fn set_minimum(&self, minimum: MinimumTls) -> Result<(), TlsError> {
        let config = server_config(minimum, &self.certificate)?;
        self.config.store(Arc::new((Arc::new(config), minimum)));
        Ok(())
    }

    /// Checks a chain and its key without showing them to anybody.
    pub fn check(chain_pem: &str, key_pem: &Secret) -> Result<(), TlsError> {
        certified_key(chain_pem, key_pem).map(|_| ())
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config.load().0)
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsIdentity(…)")
    }
}

/// Answers every handshake with the certificate in force.
#[derive(Debug)]
struct Exchangeable(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Exchangeable {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn server_config(minimum: MinimumTls, certificate: &Arc<Exchangeable>) -> Result<ServerConfig, TlsError> {
    const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12, &rustls::version::TLS13];
    const NEWEST: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
    let versions = match minimum {
        MinimumTls::V1_2 => BOTH,
        MinimumTls::V1_3 => NEWEST,
    };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .map_err(|error| TlsError::Pair(error.to_string()))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(certificate) as Arc<dyn ResolvesServerCert>);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certified_key(chain_pem: &str, key_pem: &Secret) -> Result<CertifiedKey, TlsError> {
    let chain = CertificateDer::pem_slice_iter(chain_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError::Certificate(error.to_string()))?;
    if chain.is_empty() {
        return Err(TlsError::Certificate("no certificate in it".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(key_pem.expose().as_bytes()).map_err(|_| TlsError::Key)?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| TlsError::Pair(error.to_string()))
}

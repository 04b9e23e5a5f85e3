//! TLS: certificates that clients pin, and their exchange while the listener runs.

use std::sync::Arc;

use pilothouse_api::{GeneratedCertificate, Limits, ListenerControl, MinimumTls, TlsIdentity, self_signed};
use pilothouse_model::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::harness::{get, limits, listen};

fn made(name: &str) -> GeneratedCertificate {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let now = Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap());
    self_signed(
        name,
        &[name.to_owned(), format!("*.{name}")],
        &["127.0.0.1".parse().unwrap()],
        now,
    )
    .unwrap()
}

/// Asks as a client that trusts exactly this certificate.
async fn ask(
    listener: &impl ListenerControl,
    pinned: &GeneratedCertificate,
    name: &'static str,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(pinned.certificate.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(listener.address()).await?;
    let name = ServerName::try_from(name).unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(&get("/echo")).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

const ANY: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12, &rustls::version::TLS13];

#[tokio::test]
async fn a_pinned_certificate_verifies_under_every_name_of_the_server() {
    let certificate = made("my.cluster");
    let identity = TlsIdentity::new(&certificate.certificate, &certificate.key).unwrap();
    let (listener, _) = listen(Some(Arc::new(identity)), Limits::default()).await;
    for name in ["my.cluster", "node1.my.cluster", "127.0.0.1"] {
        assert!(
            ask(&listener, &certificate, name, ANY)
                .await
                .unwrap()
                .starts_with("HTTP/1.1 200"),
            "{name}"
        );
    }
    assert!(ask(&listener, &certificate, "other.name", ANY).await.is_err());
    assert!(ask(&listener, &made("my.cluster"), "my.cluster", ANY).await.is_err());
}

#[tokio::test]
async fn certificate_and_oldest_version_are_exchanged_live() {
    let (old, new) = (made("old.name"), made("new.name"));
    let identity = TlsIdentity::new(&old.certificate, &old.key).unwrap();
    let (listener, _) = listen(Some(Arc::new(identity)), Limits::default()).await;
    assert!(ask(&listener, &old, "old.name", ANY).await.is_ok());
    assert!(
        listener.set_certificate(&new.certificate, &old.key).is_err(),
        "a key of another certificate"
    );
    assert!(
        ask(&listener, &old, "old.name", ANY).await.is_ok(),
        "a failed exchange changes nothing"
    );
    listener.set_certificate(&new.certificate, &new.key).unwrap();
    assert!(ask(&listener, &new, "new.name", ANY).await.is_ok());
    assert!(ask(&listener, &old, "old.name", ANY).await.is_err());

    let old_version: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];
    assert!(ask(&listener, &new, "new.name", old_version).await.is_ok());
    listener.set_minimum_tls(MinimumTls::V1_3).unwrap();
    assert!(ask(&listener, &new, "new.name", old_version).await.is_err());
    assert!(ask(&listener, &new, "new.name", ANY).await.is_ok());
}

#[tokio::test]
async fn a_client_that_never_shakes_hands_is_closed() {
    let certificate = made("my.cluster");
    let identity = TlsIdentity::new(&certificate.certificate, &certificate.key).unwrap();
    let (listener, _) = listen(Some(Arc::new(identity)), limits()).await;
    for sent in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"] {
        let mut stream = TcpStream::connect(listener.address()).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let answer = crate::harness::read_all(&mut stream).await;
        assert!(!answer.contains("200"), "{answer:?}");
    }
    assert!(ask(&listener, &certificate, "my.cluster", ANY).await.is_ok());
}

//! Protected servers. What this machine trusts is read once in a process and is named by its environment, so these tests run
//! themselves again as a process of their own.

use std::env;
use std::fs;
use std::process::Command;
use std::sync::Arc;

use pilothouse_backup::{FailureKind, Progress, check_writable, fetch, store};
use pilothouse_model::DatabaseId;
use pilothouse_test_support::TestDir;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::servers::{FtpServer, HttpServer, Manners, ok};
use crate::support::{NOW, PLENTY, file_name, files, noise, source, url};

/// Holds the folder with the certificates in the process that does the work.
const FOLDER: &str = "PILOTHOUSE_TEST_CERTIFICATES";

#[test]
fn protected_servers_work_when_their_certificate_is_trusted_and_only_then() {
    let folder = TestDir::new();
    let mut params = CertificateParams::new([]).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
    let key = KeyPair::generate().expect("a key");
    let server = CertificateParams::new(["localhost".to_owned()])
        .expect("parameters")
        .signed_by(&key, &ca);
    fs::write(folder.join("ca.pem"), ca.pem()).expect("writes");
    fs::write(folder.join("server.der"), server.expect("a certificate").der()).expect("writes");
    fs::write(folder.join("key.der"), key.serialize_der()).expect("writes");

    for name in ["tls::trusted", "tls::wrong_name"] {
        run(name, &folder, &folder.join("ca.pem"));
    }
    fs::write(folder.join("none.pem"), "").expect("writes");
    run("tls::untrusted", &folder, &folder.join("none.pem"));
}

fn run(name: &str, folder: &TestDir, trusted: &std::path::Path) {
    let output = Command::new(env::current_exe().expect("this program"))
        .args([name, "--exact", "--nocapture"])
        .env(FOLDER, folder.path())
        .env("SSL_CERT_FILE", trusted)
        .env_remove("SSL_CERT_DIR")
        .output()
        .expect("runs itself");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{name}: {text}");
}

/// The servers' TLS; `None` in the process that only collects these functions as tests.
fn server_tls() -> Option<Arc<ServerConfig>> {
    let folder = std::path::PathBuf::from(env::var_os(FOLDER)?);
    let read = |name: &str| fs::read(folder.join(name)).expect("reads");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(read("server.der"))],
            PrivateKeyDer::try_from(read("key.der")).expect("a key"),
        );
    Some(Arc::new(config.expect("a usable certificate")))
}

#[tokio::test]
async fn trusted() {
    let Some(tls) = server_tls() else { return };
    let (here, there) = (TestDir::new(), TestDir::new());
    let (content, name) = (noise(1_000_000, 10), file_name(DatabaseId::new(), NOW));
    let http = HttpServer::start(Some(Arc::clone(&tls)), [("/dump", ok(&content))]);
    let from = url(format!("https://localhost:{}/dump", http.address.port()));
    fetch(&from, &here.join("http"), PLENTY, &Progress::new())
        .await
        .expect("downloads");
    assert_eq!(fs::read(here.join("http")).expect("reads"), content);

    let ftp = FtpServer::start(there.path().to_owned(), Manners::Good, Some(tls));
    let at = format!("ftps://me:p%3Aw@localhost:{}/", ftp.address.port());
    check_writable(&url(&*at)).await.expect("is writable");
    store(&url(&*at), &name, &source(here.path(), &content), &Progress::new())
        .await
        .expect("stores");
    assert_eq!(files(there.path()), [name.as_str()]);
    fetch(&url(format!("{at}{name}")), &here.join("ftp"), PLENTY, &Progress::new())
        .await
        .expect("downloads");
    assert_eq!(fs::read(here.join("ftp")).expect("reads"), content);
}

#[tokio::test]
async fn wrong_name() {
    refused("127.0.0.1").await;
}

#[tokio::test]
async fn untrusted() {
    refused("localhost").await;
}

async fn refused(host: &str) {
    let Some(tls) = server_tls() else { return };
    let (here, there) = (TestDir::new(), TestDir::new());
    let http = HttpServer::start(Some(Arc::clone(&tls)), [("/dump", ok(b"data"))]);
    let from = url(format!("https://{host}:{}/dump", http.address.port()));
    let error = fetch(&from, &here.join("to"), PLENTY, &Progress::new())
        .await
        .expect_err("must be refused");
    assert_eq!(error.kind(), FailureKind::Unreachable, "{error:?}");
    assert_eq!(http.requests().len(), 0);
    let ftp = FtpServer::start(there.path().to_owned(), Manners::Good, Some(tls));
    let at = url(format!("ftps://me:p%3Aw@{host}:{}/", ftp.address.port()));
    let error = check_writable(&at).await.expect_err("must be refused");
    assert_eq!(error.kind(), FailureKind::Unreachable, "{error:?}");
    assert!(!ftp.commands().iter().any(|verb| verb == "USER"));
}

//! TLS on and off while the server runs, for clients and between servers.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use pilothouse_engine::{Peer, SyncSource, TlsFiles};
use pilothouse_model::Secret;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::runner::{Server, eventually, login, products, soon};

/// A certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        // Names differ, or a certificate would look as if it had signed itself.
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A new certificate and its key.
    fn issue(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "server");
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// Writes a new certificate for a server into its directory.
    pub(crate) fn files(&self, root: &Path, fingerprint: &str) -> TlsFiles {
        let (certificate, key) = self.issue();
        let write = |name: &str, content: &str| {
            let path = root.join(name);
            fs::write(&path, content).unwrap();
            path
        };
        TlsFiles {
            certificate: write("cert.pem", &certificate),
            key: write("key.pem", &key),
            trusted: write("trusted.pem", &self.pem),
            clients: true,
            client_certificates: false,
            fingerprint: fingerprint.into(),
        }
    }

    /// Logs in over TLS; gives the server's certificate.
    pub(crate) async fn log_in(&self, port: u16, certificate: Option<(String, String)>) -> std::io::Result<Vec<u8>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap())
            .unwrap();
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match certificate {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                    PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
                )
                .unwrap(),
        };
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let mut stream = TlsConnector::from(Arc::new(config))
            .connect(ServerName::try_from("localhost").unwrap(), stream)
            .await?;
        stream.write_all(b"AUTH secret\r\n").await?;
        let mut reply = [0; 5];
        stream.read_exact(&mut reply).await?;
        assert_eq!(&reply, b"+OK\r\n");
        let (_, connection) = stream.get_ref();
        Ok(connection.peer_certificates().unwrap()[0].to_vec())
    }
}

#[tokio::test]
async fn clients_switch_to_tls_and_back_while_it_runs() {
    let authority = Authority::new();
    for product in products() {
        let (mut server, mut session) = Server::start_open(&product, |_| ()).await;
        let tls_port = server.settings.ports.tls;
        assert!(authority.log_in(tls_port, None).await.is_err());

        server.settings.encrypt_replication = true;
        server.settings.tls = Some(authority.files(&server.directory.root, "1"));
        assert!(session.apply(&server.settings, soon()).await.unwrap());
        assert!(!session.apply(&server.settings, soon()).await.unwrap());
        assert!(!server.session().await.apply(&server.settings, soon()).await.unwrap());
        assert!(server.client("", "secret").is_err(), "the plain port is closed");
        let first = authority.log_in(tls_port, None).await.unwrap();
        assert_eq!(first, authority.log_in(tls_port, None).await.unwrap());

        // A new certificate in the same files.
        server.settings.tls = Some(authority.files(&server.directory.root, "2"));
        assert!(session.apply(&server.settings, soon()).await.unwrap());
        assert_ne!(first, authority.log_in(tls_port, None).await.unwrap());

        server.settings.tls.as_mut().unwrap().client_certificates = true;
        assert!(session.apply(&server.settings, soon()).await.unwrap());
        assert!(authority.log_in(tls_port, None).await.is_err());
        assert!(
            authority
                .log_in(tls_port, Some(Authority::new().issue()))
                .await
                .is_err()
        );
        assert!(authority.log_in(tls_port, Some(authority.issue())).await.is_ok());

        server.settings.tls = None;
        server.settings.encrypt_replication = false;
        assert!(session.apply(&server.settings, soon()).await.unwrap());
        assert!(!session.apply(&server.settings, soon()).await.unwrap());
        assert!(authority.log_in(tls_port, None).await.is_err());
        assert!(server.client("", "secret").is_ok());
    }
}

#[tokio::test]
async fn a_server_starts_with_tls_from_its_file() {
    let authority = Authority::new();
    for product in products() {
        let mut server = Server::start(&product, |_| ()).await;
        server.settings.tls = Some(authority.files(&server.directory.root, "1"));
        server.kill();
        server.restart().await;
        let mut session = server.session().await;
        session.apply(&server.settings, soon()).await.unwrap();
        assert!(authority.log_in(server.settings.ports.tls, None).await.is_ok());
    }
}

#[tokio::test]
async fn broken_certificates_are_refused_and_change_nothing() {
    let authority = Authority::new();
    for product in products() {
        let (server, mut session) = Server::start_open(&product, |_| ()).await;
        let mut settings = server.settings.clone();
        settings.tls = Some(authority.files(&server.directory.root, "1"));
        settings.memory_bytes = 64 * 1024 * 1024;
        fs::write(server.directory.root.join("cert.pem"), "not a certificate").unwrap();
        session.apply(&settings, soon()).await.unwrap_err();
        assert_eq!(server.config("maxmemory"), "0");
        assert!(server.client("", "secret").is_ok());
    }
}

#[tokio::test]
async fn replicas_follow_over_tls_while_clients_stay_plain() {
    let authority = Authority::new();
    for product in products() {
        let mut pair = Vec::new();
        for _ in 0..2 {
            let mut server = Server::start(&product, |_| ()).await;
            server.settings.encrypt_replication = true;
            server.settings.tls = Some(TlsFiles {
                clients: false,
                client_certificates: true,
                ..authority.files(&server.directory.root, "1")
            });
            let mut session = server.session().await;
            session.apply(&server.settings, soon()).await.unwrap();
            assert!(server.client("", "secret").is_ok());
            pair.push((server, session));
        }
        let (mut replica, mut session) = pair.pop().unwrap();
        let (primary, _) = pair.pop().unwrap();
        let peer = Peer {
            node: None,
            host: "127.0.0.1".into(),
            port: primary.settings.ports.tls,
        };
        session.attach(&peer, soon()).await.unwrap();
        eventually("sync", async || {
            session.replication(soon()).await.unwrap().link_up == Some(true)
        })
        .await;

        // A certificate of another authority is not trusted.
        session.promote(soon()).await.unwrap();
        replica.settings.tls = Some(TlsFiles {
            clients: false,
            ..Authority::new().files(&replica.directory.root, "2")
        });
        session.apply(&replica.settings, soon()).await.unwrap();
        session.attach(&peer, soon()).await.unwrap();
        eventually("a refusal", async || {
            // The server names no reason that would be the same with every TLS library.
            replica.log().contains("Error condition on socket for SYNC")
        })
        .await;
        assert_eq!(session.replication(soon()).await.unwrap().link_up, Some(false));
    }
}

#[tokio::test]
async fn a_source_elsewhere_is_verified_against_what_is_trusted() {
    let authority = Authority::new();
    for product in products() {
        let (mut source, mut source_session) = Server::start_open(&product, |settings| {
            settings.logins.push(login("admin", "of the source", "+@all ~* &*"));
        })
        .await;
        source.settings.tls = Some(authority.files(&source.directory.root, "1"));
        source_session.apply(&source.settings, soon()).await.unwrap();
        let elsewhere = SyncSource {
            peer: Peer {
                node: None,
                host: "127.0.0.1".into(),
                port: source.settings.ports.tls,
            },
            username: "admin".into(),
            password: Some(Secret::new("of the source")),
            tls: true,
        };
        let (mut server, mut session) = Server::start_open(&product, |_| ()).await;
        let plain = server.settings.clone();
        let only_follows = |files: TlsFiles| TlsFiles {
            clients: false,
            ..files
        };
        server.settings.tls = Some(only_follows(Authority::new().files(&server.directory.root, "1")));
        session.apply(&server.settings, soon()).await.unwrap();
        session.follow_external(&elsewhere, soon()).await.unwrap();
        eventually("a refusal", async || {
            server.log().contains("Error condition on socket for SYNC")
        })
        .await;
        assert_eq!(session.replication(soon()).await.unwrap().link_up, Some(false));

        server.settings.tls = Some(only_follows(authority.files(&server.directory.root, "2")));
        session.apply(&server.settings, soon()).await.unwrap();
        session.follow_external(&elsewhere, soon()).await.unwrap();
        eventually("sync", async || {
            session.replication(soon()).await.unwrap().link_up == Some(true)
        })
        .await;
        assert!(server.client("", "secret").is_ok(), "clients stay plain");

        // The link may need the files for as long as there is one.
        session.apply(&plain, soon()).await.unwrap();
        assert_eq!(session.replication(soon()).await.unwrap().link_up, Some(true));
        session.promote(soon()).await.unwrap();
        session.apply(&plain, soon()).await.unwrap();
        assert_eq!(server.config("tls-cert-file"), "");
    }
}

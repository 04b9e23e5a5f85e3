//! What a driver is told about one server: everything that its configuration and its live settings follow from.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use pilothouse_model::{EvictionPolicy, Persistence, Secret, ServerPorts};

/// Where a server lives. The driver puts its socket, configuration and data below `root`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerDirectory {
    /// The server's own directory, absolute.
    pub root: PathBuf,
}

impl ServerDirectory {
    /// The unix socket for administration: `admin.sock`.
    pub fn admin_socket(&self) -> PathBuf {
        self.root.join("admin.sock")
    }

    /// The data of the server: `data/`.
    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }
}

/// Everything that a server's configuration follows from.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerSettings {
    /// Addresses to bind besides the unix socket.
    pub bind: Vec<IpAddr>,
    /// Ports. The plain port is open while clients or replicas speak plain, the TLS port while either speaks TLS: see
    /// [`TlsFiles::clients`] and `encrypt_replication`. A port that nobody needs stays closed.
    pub ports: ServerPorts,
    /// Certificate files, when the database speaks TLS to clients or between its servers.
    pub tls: Option<TlsFiles>,
    /// TLS on the links between primary and replicas.
    pub encrypt_replication: bool,
    /// Memory limit, bytes; 0 for none.
    pub memory_bytes: u64,
    /// Persistence.
    pub persistence: Persistence,
    /// Eviction.
    pub eviction: EvictionPolicy,
    /// Further directives, validated.
    pub tuning: BTreeMap<String, String>,
    /// The secret of our private management account.
    pub management_secret: Secret,
    /// The secret that servers of this database replicate with.
    pub replication_secret: Secret,
    /// The logins of clients. Not written to disk.
    pub logins: Vec<Login>,
    /// Commands withheld from every login, lower case, in addition to those that tenants never get.
    pub disabled_commands: Vec<String>,
    /// Who may use the server now.
    pub fence: Fence,
    /// How it takes part in a cluster; `None` for a server on its own. Never changed while it runs.
    pub cluster: Option<ClusterSettings>,
}

/// How a server takes part in a cluster. The port of its links is [`ServerPorts::bus`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterSettings {
    /// The address under which its siblings reach it and to which clients are led.
    pub announce: IpAddr,
}

/// Who may use a server. What is on disk is always `Closed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fence {
    /// Nobody but the management account.
    Closed,
    /// Servers of the same database may replicate from it, clients may not use it.
    Replication,
    /// Clients and servers of the same database.
    Open,
}

/// Certificates in files that the server's account can read. All paths absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Certificates that are trusted: of our servers for replication, and of clients where `client_certificates` is set. PEM.
    pub trusted: PathBuf,
    /// Clients speak TLS. Otherwise only the links between servers do, where `encrypt_replication` asks for it.
    pub clients: bool,
    /// Clients must show a certificate.
    pub client_certificates: bool,
    /// A text that changes whenever the content of one of the files does, so that a running server is told to read them again.
    pub fingerprint: String,
}

/// A login of clients.
#[derive(Clone, Debug, PartialEq)]
pub struct Login {
    /// Its name; `default` is the login without a name.
    pub name: String,
    /// Whether it may log in.
    pub enabled: bool,
    /// SHA-256 of each valid password, 64 hexadecimal digits.
    pub password_sha256: Vec<Secret>,
    /// No password is needed.
    pub without_password: bool,
    /// Its rights in the syntax of `ACL SETUSER`; commands that tenants never get are withheld whatever stands here.
    pub rules: String,
}

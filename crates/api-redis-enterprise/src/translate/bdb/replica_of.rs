//! Replica Of: a database elsewhere that this one follows.

use pilothouse_api::JsonObject;
use pilothouse_model::{DatabaseSpec, ReplicaSource, ReplicaSync, ReplicationFacts, Sealed, Secret, TlsMode};
use serde_json::{Value, json};

use super::{Body, Shown, Surroundings};
use crate::error::Failure;

/// What is remembered of a source and has no effect here.
const REMEMBERED: [&str; 2] = ["compression", "replication_tls_sni"];

fn refused(why: impl Into<String>) -> Failure {
    Failure::not_acceptable("invalid_replica_sources", why)
}

/// Brings the spec in line with a body. `sync_sources` and `sync` are older names of the same fields.
pub(super) fn apply(
    body: &Body<'_>,
    around: &Surroundings<'_>,
    spec: &mut DatabaseSpec,
    document: &mut JsonObject,
) -> Result<(), Failure> {
    let present = spec.replica_of.clone();
    if let Some(sources) = body.list("replica_sources").or(body.list("sync_sources")) {
        spec.replica_of = match sources {
            [] => None,
            [only] => {
                remember(only, document);
                Some(parse(only, around, present.as_ref())?)
            }
            _ => return Err(refused("only one source is possible on this cluster")),
        };
    }
    if let Some(source) = &spec.replica_of {
        refuse_own_name(source, spec.network.port, around.cluster_name)?;
    }
    if let Some(word) = body.text("replica_sync").or(body.text("sync")) {
        document.insert("replica_sync".to_owned(), word.into());
    }
    if let Some(source) = &mut spec.replica_of {
        let asked = body.text("replica_sync").or(body.text("sync"));
        let word = document.get("replica_sync").and_then(Value::as_str);
        source.sync = match word {
            // Its data could not be loaded: only another source or a plain word begins anew.
            Some("enabled") if asked.is_none() && is_stopped(source, present.as_ref()) => ReplicaSync::Stopped,
            Some("enabled") => ReplicaSync::Enabled,
            Some("stopped") if is_stopped(source, present.as_ref()) => ReplicaSync::Stopped,
            _ => ReplicaSync::Paused,
        };
    }
    refuse_shared_trust(spec)
}

/// Whether we stopped to follow this same source.
fn is_stopped(source: &ReplicaSource, present: Option<&ReplicaSource>) -> bool {
    present.is_some_and(|present| {
        let sync = present.sync;
        sync == ReplicaSync::Stopped && *present == ReplicaSource { sync, ..source.clone() }
    })
}

/// A server has one list of certificates for the source that it follows and for the clients that come to it: whoever holds a
/// certificate of the source could come in as a client.
fn refuse_shared_trust(spec: &DatabaseSpec) -> Result<(), Failure> {
    let source = spec.replica_of.as_ref();
    let pinned = source.is_some_and(|source| source.tls && source.server_certificate.is_some());
    let clients = &spec.network.client_auth;
    if pinned && spec.network.tls == TlsMode::Enabled && clients.required && !clients.trusted.is_empty() {
        return Err(refused(
            "server_cert cannot be combined with client certificates: one list of trusted certificates serves both",
        ));
    }
    Ok(())
}

/// The name that the endpoint is shown with is known to clients' name servers and perhaps not to ours. Addresses are checked by the core.
fn refuse_own_name(source: &ReplicaSource, port: u16, cluster: &str) -> Result<(), Failure> {
    let names = [
        format!("redis-{port}.{cluster}"),
        format!("redis-{port}.internal.{cluster}"),
    ];
    if port != 0 && names.iter().any(|name| source.host.eq_ignore_ascii_case(name)) {
        return Err(refused("the source is the database itself"));
    }
    Ok(())
}

fn remember(source: &Value, document: &mut JsonObject) {
    let kept: JsonObject = REMEMBERED
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), source.get(key)?.clone())))
        .collect();
    document.insert("replica_source".to_owned(), Value::Object(kept));
}

fn parse(value: &Value, around: &Surroundings<'_>, present: Option<&ReplicaSource>) -> Result<ReplicaSource, Failure> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    if text("client_cert").is_some() || text("client_key").is_some() {
        return Err(refused(
            "a client certificate of its own cannot be given to a source on this cluster",
        ));
    }
    let uri = text("uri").ok_or_else(|| Failure::invalid_schema("replica_sources needs uri"))?;
    let parsed = Uri::parse(uri).ok_or_else(|| refused("uri must be redis[s]://[user[:password]@]host:port"))?;
    let before: Vec<Sealed> = present.iter().filter_map(|source| source.password.clone()).collect();
    let password = match parsed.password {
        Some(password) => Some(around.sealed(&password, &before)?),
        // What is shown to viewers has no password; the same source sent back keeps the one it has.
        None => present
            .filter(|source| {
                source.host == parsed.host && source.port == parsed.port && source.username == parsed.username
            })
            .and_then(|source| source.password.clone()),
    };
    let server_certificate = text("server_cert").map(str::to_owned);
    if let Some(pem) = &server_certificate {
        pilothouse_api::certificate_facts(pem)
            .map_err(|error| Failure::not_acceptable("invalid_certificate", error.to_string()))?;
    }
    Ok(ReplicaSource {
        host: parsed.host,
        port: parsed.port,
        username: parsed.username,
        password,
        tls: parsed.tls || value.get("encryption").and_then(Value::as_bool) == Some(true),
        server_certificate,
        sync: ReplicaSync::Paused,
    })
}

/// `redis[s]://[user[:password]@]host:port`.
#[derive(Debug, PartialEq)]
struct Uri {
    tls: bool,
    username: String,
    password: Option<String>,
    host: String,
    port: u16,
}

impl Uri {
    fn parse(uri: &str) -> Option<Self> {
        let (scheme, rest) = uri.split_once("://")?;
        let tls = match scheme {
            "redis" => false,
            "rediss" => true,
            _ => return None,
        };
        let authority = rest.split(['/', '?', '#']).next()?;
        let (credentials, address) = authority
            .rsplit_once('@')
            .map_or((None, authority), |(user, host)| (Some(user), host));
        let (username, password) = match credentials.map(|text| text.split_once(':').unwrap_or((text, ""))) {
            Some((user, password)) => (
                decoded(user)?,
                Some(decoded(password)?).filter(|password| !password.is_empty()),
            ),
            None => (String::new(), None),
        };
        let (host, port) = address.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let plain = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_:%".contains(c));
        plain.then(|| Self {
            tls,
            username,
            password,
            host: host.to_owned(),
            port,
        })
    }
}

/// Percent-decoded UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok())?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.chars().any(char::is_control))
}

/// Everything but letters, digits and `-._~` percent-encoded.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// `replica_sync` and `replica_sources` as shown. Whoever may not see passwords sees the source without one.
pub(super) fn show(
    spec: &DatabaseSpec,
    document: &JsonObject,
    replication: Option<&ReplicationFacts>,
    with: &Shown<'_>,
) -> (Value, Vec<Value>) {
    let word = document.get("replica_sync").and_then(Value::as_str);
    let Some(source) = &spec.replica_of else {
        return (word.unwrap_or("disabled").into(), Vec::new());
    };
    let word = match (source.sync, word) {
        (ReplicaSync::Enabled, _) => "enabled",
        (ReplicaSync::Paused, Some(word @ ("disabled" | "stopped"))) => word,
        (ReplicaSync::Paused, _) => "paused",
        (ReplicaSync::Stopped, _) => "stopped",
    };
    let password = source
        .password
        .as_ref()
        .zip(with.secrets)
        .and_then(|(sealed, core)| core.open(sealed).ok());
    let status = status(source, replication, with.source.syncing);
    // What was found before the link came up is over.
    let lost = with.source.lost.as_deref().filter(|_| status == "out-of-sync");
    let sync = with.source.sync;
    let mut shown = json!({
        "uid": 1,
        "uri": uri(source, password.as_ref()),
        "status": status,
        "lag": replication.and_then(|facts| facts.link_silence).map_or(0, |silence| silence.as_millis()) as u64,
        "last_error": lost.unwrap_or_default(),
        "rdb_size": sync.and_then(|sync| sync.total_bytes).unwrap_or(0),
        "rdb_transferred": sync.map_or(0, |sync| sync.read_bytes),
        "compression": 0,
        "encryption": source.tls,
    });
    if let Some(heard_at) = with.source.heard_at {
        shown["last_update"] = heard_at.to_rfc3339_seconds().into();
    }
    if let Some(certificate) = &source.server_certificate {
        shown["server_cert"] = certificate.as_str().into();
    }
    if let Some(kept) = document.get("replica_source").and_then(Value::as_object) {
        for (key, value) in kept.iter().filter(|(key, _)| REMEMBERED.contains(&key.as_str())) {
            shown[key] = value.clone();
        }
    }
    (word.into(), vec![shown])
}

fn uri(source: &ReplicaSource, password: Option<&Secret>) -> String {
    let scheme = if source.tls { "rediss" } else { "redis" };
    let host = if source.host.contains(':') {
        format!("[{}]", source.host)
    } else {
        source.host.clone()
    };
    let credentials = match (source.username.as_str(), password) {
        ("", None) => String::new(),
        (user, None) => format!("{}@", encoded(user)),
        (user, Some(password)) => format!("{}:{}@", encoded(user), encoded(password.expose())),
    };
    format!("{scheme}://{credentials}{host}:{}", source.port)
}

/// A server that loads what it gets answers rarely: `syncing` is what was seen when it last did.
fn status(source: &ReplicaSource, replication: Option<&ReplicationFacts>, syncing: bool) -> &'static str {
    match (source.sync, replication) {
        (ReplicaSync::Enabled, Some(facts)) if facts.link_up == Some(true) && !facts.syncing => "in-sync",
        (ReplicaSync::Enabled, Some(facts)) if facts.syncing || syncing => "syncing",
        _ => "out-of-sync",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_read_and_written() {
        let check = |text: &str, tls, user: &str, password: Option<&str>, host: &str, port| {
            let expected = Uri {
                tls,
                username: user.to_owned(),
                password: password.map(str::to_owned),
                host: host.to_owned(),
                port,
            };
            assert_eq!(Uri::parse(text), Some(expected), "{text}");
        };
        check(
            "redis://admin:p%40ss@10.0.0.1:12000",
            false,
            "admin",
            Some("p@ss"),
            "10.0.0.1",
            12000,
        );
        check(
            "rediss://:pw@redis-1.my.cluster:1",
            true,
            "",
            Some("pw"),
            "redis-1.my.cluster",
            1,
        );
        check("redis://[::1]:6379/0", false, "", None, "::1", 6379);
        for bad in [
            "",
            "redis://",
            "http://a:1",
            "redis://host",
            "redis://host:0",
            "redis://host:70000",
            "redis://a:%zz@h:1",
            "redis://a b:1",
        ] {
            assert_eq!(Uri::parse(bad), None, "{bad}");
        }
        assert_eq!(encoded("p@ss:w%"), "p%40ss%3Aw%25");
    }
}

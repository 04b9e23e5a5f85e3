//! A database elsewhere that is to be followed.

use pilothouse_control::Control;
use pilothouse_model::{ReplicaSource, ReplicaSync, Secret};

use crate::error::TaskError;
use crate::wire::database::DatabaseRequest;

/// The source to follow: `None` when the request does not speak of one, `Some(None)` for none.
pub(super) fn replica_of(
    request: &DatabaseRequest,
    control: &Control,
) -> Result<Option<Option<ReplicaSource>>, TaskError> {
    let mut sources: Vec<(&str, bool, Option<&str>)> = Vec::new();
    if let Some(list) = &request.replica_of {
        sources.extend(
            list.iter()
                .map(|uri| (uri.as_str(), uri.starts_with("rediss://"), None)),
        );
    }
    if let Some(replica) = &request.replica {
        sources.extend(replica.sync_sources.iter().map(|source| {
            let tls = source.encryption.unwrap_or(false) || source.endpoint.starts_with("rediss://");
            (source.endpoint.as_str(), tls, source.server_cert.as_deref())
        }));
    }
    if request.replica_of.is_none() && request.replica.is_none() {
        return Ok(None);
    }
    match sources.as_slice() {
        [] => Ok(Some(None)),
        [(uri, tls, certificate)] => parse_source(uri, *tls, *certificate, control).map(|source| Some(Some(source))),
        _ => Err(TaskError::new(
            "DATABASE_INVALID_REPLICA",
            "one source can be followed, not several",
        )),
    }
}

fn parse_source(
    uri: &str,
    tls: bool,
    certificate: Option<&str>,
    control: &Control,
) -> Result<ReplicaSource, TaskError> {
    let bad = || {
        TaskError::new(
            "DATABASE_REPLICA_OF_BAD_URI",
            "a source reads redis://[user:password@]host:port",
        )
    };
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let (login, place) = rest
        .rsplit_once('@')
        .map_or((None, rest), |(login, place)| (Some(login), place));
    let (host, port) = place.trim_end_matches('/').rsplit_once(':').ok_or_else(bad)?;
    let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(bad)?;
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
        return Err(bad());
    }
    let (username, password) = login.map_or(("", None), |login| match login.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => ("", Some(login)),
    });
    Ok(ReplicaSource {
        host: host.trim_matches(['[', ']']).to_owned(),
        port,
        username: username.to_owned(),
        password: password
            .filter(|password| !password.is_empty())
            .map(|password| control.seal(&Secret::new(password))),
        tls,
        server_certificate: certificate.map(str::to_owned),
        sync: ReplicaSync::Enabled,
    })
}

//! Reading from HTTP servers.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ureq::config::RedirectAuthHeaders;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body, Proxy};

use crate::progress::too_large;
use crate::transfer::Fetched;
use crate::{BackupError, FailureKind, Progress, RemoteUrl, gzip, tls};

const CONNECT: Duration = Duration::from_secs(10);
/// Until the first byte of an answer, and between any two pieces of it. A whole download may take as long as it needs.
const SILENCE: Duration = Duration::from_secs(60);
const REDIRECTS: u32 = 5;

/// Downloads the file into `sink`.
pub(crate) fn fetch(
    url: &RemoteUrl,
    sink: &mut File,
    most_bytes: u64,
    progress: &Progress,
) -> Result<Fetched, BackupError> {
    let mut request = agent(url.host(), REDIRECTS).get(url.request_target());
    if !url.user().is_empty() {
        let login = STANDARD.encode(format!("{}:{}", url.user(), url.password().expose()));
        request = request.header("authorization", format!("Basic {login}"));
    }
    // The error may quote the URL with its query, so only its class is taken over.
    let response = request.call().map_err(|error| request_error(url, &error))?;
    let status = response.status().as_u16();
    if status != 200 {
        let what = format!("{} answered with status {status}", url.shown());
        return Err(BackupError::new(kind_of(status), what));
    }
    receive(response.into_body(), sink, most_bytes, progress)
}

/// Writes the body of an answer to `sink`, decompressed when it is compressed.
pub(crate) fn receive(
    body: Body,
    sink: &mut File,
    most_bytes: u64,
    progress: &Progress,
) -> Result<Fetched, BackupError> {
    if let Some(length) = body.content_length() {
        progress.set_total(length);
        if length / 2 > most_bytes {
            return Err(too_large());
        }
    }
    let reader = body.into_with_config().limit(u64::MAX).reader();
    gzip::unpack(
        reader,
        |error| BackupError::connection("the download broke off", plain(&error)),
        sink,
        most_bytes,
        progress,
    )
}

/// A client for one host, which redirects lead away from at most that often.
pub(crate) fn agent(host: &str, redirects: u32) -> Agent {
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(tls::provider())
        .root_certs(RootCerts::from(
            tls::trusted().iter().map(|der| Certificate::from_der(der).to_owned()),
        ))
        .build();
    // What runs on this machine is never behind a proxy.
    let local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    Agent::config_builder()
        .http_status_as_error(false)
        .tls_config(tls)
        .proxy(if local { None } else { Proxy::try_from_env() })
        .max_redirects(redirects)
        .redirect_auth_headers(RedirectAuthHeaders::Never)
        .accept_encoding("identity")
        .user_agent("pilothouse")
        .timeout_resolve(Some(CONNECT))
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(SILENCE))
        .timeout_per_read(Some(SILENCE))
        .timeout_per_write(Some(SILENCE))
        .build()
        .new_agent()
}

const fn kind_of(status: u16) -> FailureKind {
    match status {
        401 | 403 | 407 => FailureKind::NoPermission,
        404 | 410 => FailureKind::WrongPath,
        _ => FailureKind::Unreachable,
    }
}

fn request_error(url: &RemoteUrl, error: &ureq::Error) -> BackupError {
    BackupError::connection(format!("cannot download {}", url.shown()), cause(error))
}

/// What went wrong, without the URL.
pub(crate) fn cause(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => plain(error),
        ureq::Error::Timeout(_) => "it took too long".to_owned(),
        ureq::Error::HostNotFound => "the host is not known".to_owned(),
        ureq::Error::TooManyRedirects => format!("it redirects more than {REDIRECTS} times"),
        ureq::Error::ConnectionFailed => "no connection".to_owned(),
        ureq::Error::Rustls(error) => error.to_string(),
        ureq::Error::BadUri(_) => "a redirect leads nowhere".to_owned(),
        _ => "the server does not speak HTTP as it should".to_owned(),
    }
}

fn plain(error: &io::Error) -> String {
    error.to_string()
}

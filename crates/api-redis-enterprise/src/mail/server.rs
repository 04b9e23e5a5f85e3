//! The mail server that the cluster's settings name, and sending one letter through it.

use std::time::Duration;

use lettre::address::AddressError;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use pilothouse_api::JsonObject;
use pilothouse_control::ControlError;
use pilothouse_model::{Sealed, Secret};
use serde_json::Value;

use super::letter::Letter;
use crate::app::App;
use crate::wire::cluster::SMTP_PASSWORD;

/// How long one attempt may take, from the name of the server to its last word.
const ATTEMPT_MAX: Duration = Duration::from_secs(30);

/// Why a letter was not sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error("email_from is no address: {0}")]
    Sender(AddressError),
    #[error("the password of the mail server cannot be opened: {0}")]
    Password(ControlError),
    #[error("the letter cannot be written: {0}")]
    Letter(lettre::error::Error),
    #[error("mail server: {0}")]
    Server(smtp::Error),
    #[error("the mail server takes longer than {} seconds", ATTEMPT_MAX.as_secs())]
    Timeout,
}

impl SendError {
    /// Whether another attempt would end the same.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Sender(_) | Self::Password(_) | Self::Letter(_) => true,
            Self::Server(error) => error.is_permanent() || error.is_client(),
            Self::Timeout => false,
        }
    }
}

/// The mail server and how to speak to it.
pub(super) struct Server {
    host: String,
    port: u16,
    tls: TlsMode,
    from: Mailbox,
    login: Option<(String, Secret)>,
    /// How we call ourselves.
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TlsMode {
    None,
    StartTls,
    Tls,
}

impl Server {
    /// Whether these settings of the cluster want mail to be sent.
    pub(super) fn is_configured(cluster: &JsonObject) -> bool {
        cluster.get("email_alerts") == Some(&Value::Bool(true)) && !text(cluster, "smtp_host").is_empty()
    }

    /// The server of the settings in force; `None` while mail is off.
    pub(super) fn configured(app: &App) -> Result<Option<Self>, SendError> {
        let settings = app.settings();
        let open = |sealed: Sealed| app.control().open(&sealed);
        Self::of(&settings.cluster, app.cluster_name(), open)
    }

    fn of(
        cluster: &JsonObject,
        name: String,
        open: impl FnOnce(Sealed) -> Result<Secret, ControlError>,
    ) -> Result<Option<Self>, SendError> {
        if !Self::is_configured(cluster) {
            return Ok(None);
        }
        let from = match text(cluster, "email_from") {
            // A cluster's name is a name of DNS in most cases.
            "" => sender(&format!("alerts@{name}")).or_else(|_| sender("alerts@localhost")),
            from => sender(from),
        };
        let login = match text(cluster, "smtp_username") {
            "" => None,
            user => {
                let sealed = Sealed::from_cipher_text(text(cluster, SMTP_PASSWORD).to_owned());
                let password = if sealed.cipher_text().is_empty() {
                    Secret::new("")
                } else {
                    open(sealed).map_err(SendError::Password)?
                };
                Some((user.to_owned(), password))
            }
        };
        Ok(Some(Self {
            host: text(cluster, "smtp_host").to_owned(),
            port: port(cluster),
            tls: match text(cluster, "smtp_tls_mode") {
                "starttls" => TlsMode::StartTls,
                "tls" => TlsMode::Tls,
                _ => TlsMode::None,
            },
            from: from.map_err(SendError::Sender)?,
            login,
            name,
        }))
    }

    /// Sends a letter.
    pub(super) async fn send(&self, letter: &Letter) -> Result<(), SendError> {
        let message = self.message(letter).map_err(SendError::Letter)?;
        let transport = self.transport().map_err(SendError::Server)?;
        match tokio::time::timeout(ATTEMPT_MAX, transport.send(message)).await {
            Ok(sent) => sent.map(|_| ()).map_err(SendError::Server),
            Err(_) => Err(SendError::Timeout),
        }
    }

    fn message(&self, letter: &Letter) -> Result<Message, lettre::error::Error> {
        // So that nobody's absence is told to us (RFC 3834).
        let automatic = HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        );
        Message::builder()
            .from(self.from.clone())
            .to(letter.to.clone().into())
            .subject(&letter.title)
            .message_id(Some(format!("<{}@{}>", letter.id, self.from.email.domain())))
            .raw_header(automatic)
            .header(ContentType::TEXT_PLAIN)
            .body(letter.body.clone())
    }

    fn transport(&self) -> Result<AsyncSmtpTransport<Tokio1Executor>, smtp::Error> {
        let parameters = || TlsParameters::new(self.host.clone());
        let tls = match self.tls {
            TlsMode::None => Tls::None,
            // Never without, should the server not offer it.
            TlsMode::StartTls => Tls::Required(parameters()?),
            TlsMode::Tls => Tls::Wrapper(parameters()?),
        };
        // "Dangerous" in that it names no kind of TLS; the line after it does.
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(self.host.clone())
            .tls(tls)
            .port(self.port);
        if is_domain(&self.name) {
            builder = builder.hello_name(ClientId::Domain(self.name.clone()));
        }
        if let Some((user, password)) = &self.login {
            builder = builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
        }
        Ok(builder.build())
    }
}

/// A sender, with or without a name before the address.
pub(super) fn sender(text: &str) -> Result<Mailbox, AddressError> {
    text.trim().parse()
}

fn text<'a>(cluster: &'a JsonObject, name: &str) -> &'a str {
    cluster.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn port(cluster: &JsonObject) -> u16 {
    let port = cluster.get("smtp_port").and_then(Value::as_u64);
    port.and_then(|port| u16::try_from(port).ok()).unwrap_or(25)
}

/// Whether a name may stand in a greeting.
fn is_domain(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn server(cluster: &Value) -> Result<Option<Server>, SendError> {
        Server::of(cluster.as_object().unwrap(), "c.local".to_owned(), |sealed| {
            Ok(Secret::new(sealed.cipher_text()))
        })
    }

    #[test]
    fn mail_needs_a_server_and_the_switch() {
        for off in [
            json!({}),
            json!({"email_alerts": true, "smtp_host": ""}),
            json!({"email_alerts": false, "smtp_host": "mail.b.c"}),
        ] {
            assert!(server(&off).unwrap().is_none(), "{off}");
        }
    }

    #[test]
    fn what_is_not_set_has_a_default() {
        let server = server(&json!({"email_alerts": true, "smtp_host": "mail.b.c"}))
            .unwrap()
            .unwrap();
        assert_eq!((server.port, server.tls), (25, TlsMode::None));
        assert_eq!(server.from.to_string(), "alerts@c.local");
        assert!(server.login.is_none());
    }

    #[test]
    fn a_server_is_spoken_to_as_it_is_set() {
        let set = json!({
            "email_alerts": true, "smtp_host": "mail.b.c", "smtp_port": 587, "smtp_tls_mode": "starttls",
            "smtp_username": "anna", "sealed_smtp_password": "hush", "email_from": "Databases <db@b.c>",
        });
        let server = server(&set).unwrap().unwrap();
        assert_eq!((server.port, server.tls), (587, TlsMode::StartTls));
        assert_eq!(
            (server.from.name.as_deref(), server.from.email.domain()),
            (Some("Databases"), "b.c")
        );
        assert_eq!(server.login, Some(("anna".to_owned(), Secret::new("hush"))));
        assert!(server.transport().is_ok());
    }

    #[test]
    fn a_sender_that_is_no_address_is_a_final_error() {
        let set = json!({"email_alerts": true, "smtp_host": "mail.b.c", "email_from": "nobody"});
        assert!(server(&set).is_err_and(|error| error.is_final()));
    }
}

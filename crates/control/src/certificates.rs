//! Certificates of the installation, by name. `proxy` is the one that TLS endpoints show.

use pilothouse_model::{EventDraft, Sealed, Severity, Subject};
use pilothouse_store::Setting;
use serde::{Deserialize, Serialize};

use crate::commands::CertificatePair;
use crate::{Caller, Control, ControlError, Field};

const PREFIX: &str = "certificate/";

/// The certificate that TLS endpoints of databases show.
pub const ENDPOINTS: &str = "proxy";

#[derive(Serialize, Deserialize)]
struct Stored {
    certificate: String,
    key: Option<Sealed>,
}

impl Control {
    /// The certificate with that name.
    pub fn certificate(&self, name: &str) -> Option<CertificatePair> {
        let view = self.store().view();
        let setting = view.get::<Setting>(&format!("{PREFIX}{name}"))?;
        self.opened(&setting.value)
    }

    /// Every certificate with its name.
    pub fn certificates(&self) -> Vec<(String, CertificatePair)> {
        let view = self.store().view();
        view.all::<Setting>()
            .filter_map(|setting| {
                let name = setting.key.strip_prefix(PREFIX)?;
                Some((name.to_owned(), self.opened(&setting.value)?))
            })
            .collect()
    }

    /// Sets a certificate. The caller has checked that chain and key belong together and are valid now. Databases pick it up live.
    pub async fn set_certificate(
        &self,
        caller: &Caller,
        name: &str,
        pair: CertificatePair,
    ) -> Result<(), ControlError> {
        if name.is_empty() || name.len() > 64 {
            return Err(ControlError::invalid(
                Field::Certificate,
                "a certificate's name has 1 to 64 characters",
            ));
        }
        let stored = Stored {
            certificate: pair.certificate,
            key: pair.key.as_ref().map(|key| self.seal(key)),
        };
        let value = serde_json::to_value(stored).map_err(ControlError::internal)?;
        let event = self.certificate_event(caller, "certificate-set", name);
        let setting = Setting {
            key: format!("{PREFIX}{name}"),
            value,
        };
        let now = self.now();
        self.commit(caller, move |transaction| {
            transaction.put(setting);
            transaction.append_event(now, event);
            Ok(())
        })
        .await?;
        self.0.scheduler.wake_all(self.store().view().as_ref());
        Ok(())
    }

    /// Removes a certificate; success when there is none.
    pub async fn remove_certificate(&self, caller: &Caller, name: &str) -> Result<(), ControlError> {
        let event = self.certificate_event(caller, "certificate-removed", name);
        let key = format!("{PREFIX}{name}");
        let now = self.now();
        self.commit(caller, move |transaction| {
            transaction.delete::<Setting>(&key);
            transaction.append_event(now, event);
            Ok(())
        })
        .await
    }

    fn opened(&self, value: &serde_json::Value) -> Option<CertificatePair> {
        let stored = Stored::deserialize(value).ok()?;
        let key = stored.key.map(|key| self.open(&key)).transpose().ok()?;
        Some(CertificatePair {
            certificate: stored.certificate,
            key,
        })
    }

    fn certificate_event(&self, caller: &Caller, kind: &str, name: &str) -> EventDraft {
        EventDraft {
            kind: kind.to_owned(),
            severity: Severity::Info,
            subject: Subject::Installation,
            tenant: None,
            actor: caller.actor.clone(),
            operation: None,
            message: format!("certificate {name}"),
            facts: serde_json::json!({ "certificate": name }),
        }
    }
}

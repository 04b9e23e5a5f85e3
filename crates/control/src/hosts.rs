//! Hosts: what an operator may say about them.

use std::sync::Arc;

use pilothouse_model::{EventDraft, Host, HostId, Severity, Subject};
use pilothouse_store::Urgency;

use crate::{Caller, Control, ControlError, Noun};

/// What is to become of a host; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct HostChange {
    /// Whether new servers may be placed on it.
    pub accepts_servers: Option<bool>,
    /// The rack or zone it stands in.
    pub rack: Option<String>,
}

impl Control {
    /// Changes what is known of a host. Servers that run on it stay.
    pub async fn update_host(
        &self,
        caller: &Caller,
        id: HostId,
        change: HostChange,
    ) -> Result<Arc<Host>, ControlError> {
        let now = self.now();
        let host = self
            .transact(Urgency::Normal, |transaction| {
                let known = transaction
                    .view()
                    .get::<Host>(&id)
                    .ok_or(ControlError::not_found(Noun::Host))?;
                let old = (***known).clone();
                let mut host = old.clone();
                host.accepts_servers = change.accepts_servers.unwrap_or(host.accepts_servers);
                host.rack = change.rack.unwrap_or(host.rack);
                if host != old {
                    transaction.append_event(
                        now,
                        EventDraft {
                            kind: "host-updated".to_owned(),
                            severity: Severity::Info,
                            subject: Subject::Host(id),
                            tenant: None,
                            actor: caller.actor.clone(),
                            operation: None,
                            message: "the settings of a host were changed".to_owned(),
                            facts: serde_json::json!({ "accepts_servers": host.accepts_servers, "rack": host.rack }),
                        },
                    );
                    transaction.put(host.clone());
                }
                Ok(host)
            })
            .await?;
        Ok(Arc::new(host))
    }
}

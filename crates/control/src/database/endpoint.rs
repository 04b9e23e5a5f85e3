//! The endpoint of a new database: a port that the gateway has bound before anything is committed.

use pilothouse_gateway_protocol::GatewayError;
use pilothouse_model::{Database, DatabaseId, Endpoint};
use pilothouse_store::View;

use crate::ports::Promise;
use crate::{Control, ControlError, Field, Noun};

/// How many endpoint ports that others on this machine hold are passed over before we say that none is free.
const ENDPOINT_ATTEMPTS: usize = 4096;

impl Control {
    /// Picks the port where the request left it open, and has the gateway bind it. What is bound and not committed is freed again.
    pub(super) async fn reserve_endpoint(
        &self,
        view: &View,
        database: &mut Database,
    ) -> Result<Promise<'_>, ControlError> {
        let address = database.spec.network.address;
        let wanted = database.spec.network.port;
        if wanted != 0 {
            let taken = || ControlError::AlreadyExists {
                what: Noun::Database,
                field: "port",
            };
            if view.database_on_port(wanted).is_some() {
                return Err(taken());
            }
            let promise = self.0.reservations.promise_all(&[wanted]).ok_or_else(taken)?;
            return match self
                .0
                .gateway
                .reserve(database.id, Endpoint { address, port: wanted })
                .await
            {
                Ok(()) => Ok(promise),
                Err(GatewayError::Bind { reason, .. }) => Err(ControlError::invalid(
                    Field::Port,
                    format!("port {wanted} cannot be used: {reason}"),
                )),
                Err(error) => Err(gateway_away(&error)),
            };
        }
        let (first, last) = (*self.0.settings.port_range.start(), *self.0.settings.port_range.end());
        // Goes on after the last one given, so that the port of a deleted database is not given to another at once.
        let from = self.0.reservations.after_last(first, last);
        let mut refused = Vec::new();
        for _ in 0..ENDPOINT_ATTEMPTS {
            let free = (from..=last)
                .chain(first..from)
                .filter(|port| view.database_on_port(*port).is_none() && !refused.contains(port));
            let Some((port, promise)) = self.0.reservations.promise_first(free) else {
                break;
            };
            match self.0.gateway.reserve(database.id, Endpoint { address, port }).await {
                Ok(()) => {
                    database.spec.network.port = port;
                    self.0.reservations.gave(port);
                    return Ok(promise);
                }
                // Somebody else on this machine has it: try the next one.
                Err(GatewayError::Bind { .. }) => refused.push(port),
                Err(error) => return Err(gateway_away(&error)),
            }
        }
        Err(ControlError::NoCapacity(
            "no free port is left for another endpoint".to_owned(),
        ))
    }

    pub(super) async fn give_endpoint_back(&self, id: DatabaseId) {
        if let Err(error) = self.0.gateway.remove(id).await {
            tracing::warn!(database = %id, %error, "a port reserved for a refused database is freed at the next connection");
        }
    }
}

fn gateway_away(error: &GatewayError) -> ControlError {
    ControlError::Unavailable {
        why: error.to_string(),
        retry_after: std::time::Duration::from_secs(1),
    }
}

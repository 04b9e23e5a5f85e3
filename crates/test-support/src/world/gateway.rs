//! The world as a gateway.

use std::net::SocketAddr;

use async_trait::async_trait;
use pilothouse_gateway_protocol::{EndpointLoad, Gateway, GatewayError, Route, RouteState};
use pilothouse_model::{DatabaseId, Endpoint};

use super::World;

#[async_trait]
impl Gateway for World {
    async fn reserve(&self, database: DatabaseId, endpoint: Endpoint) -> Result<(), GatewayError> {
        let mut state = self.lock();
        if state
            .routes
            .values()
            .any(|route| route.endpoint == endpoint && route.database != database)
        {
            let address = SocketAddr::new(endpoint.address, endpoint.port);
            return Err(GatewayError::Bind {
                address,
                reason: "address in use".to_owned(),
            });
        }
        state.routes.entry(database).or_insert(Route {
            database,
            endpoint,
            state: RouteState::Held,
            source_allow: Vec::new(),
            max_connections: 0,
        });
        Ok(())
    }

    async fn set(&self, route: Route) -> Result<(), GatewayError> {
        self.lock().routes.insert(route.database, route);
        Ok(())
    }

    async fn remove(&self, database: DatabaseId) -> Result<(), GatewayError> {
        self.lock().routes.remove(&database);
        Ok(())
    }

    async fn load(&self) -> Result<Vec<EndpointLoad>, GatewayError> {
        Ok(Vec::new())
    }
}

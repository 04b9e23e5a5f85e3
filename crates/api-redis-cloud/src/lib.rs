//! The dialect `redis-cloud`: the REST API of Redis Cloud, with its tasks, spoken to its own clients.
//!
//! A call that changes anything is answered with a task as soon as the request is durable. The account's lane in `control` processes its
//! tasks one at a time; what a task made is then provisioned by the loops, in parallel. What is shown, honoured and refused is told in
//! `docs/dialects/redis-cloud.md`.
//!
//! Called by `server`, which makes a [`RedisCloud`] and binds a listener for it. It holds no state of its own: everything is in
//! `control`, what only this API knows in documents. It never speaks to a database server.
//!
//! Start reading at [`ROUTES`]: a row leads to a handler, a handler of a change to [`processing`], which does in the lane what the
//! handler only wrote down.

mod alerts;
mod app;
mod auth;
mod call;
mod documents;
mod error;
mod handlers;
mod ids;
mod plans;
mod processing;
mod rates;
mod routes;
mod state;
mod translate;
mod wire;

pub use app::{ConfiguredAccount, RedisCloud, RedisCloudOptions, dialect};
pub use auth::Permission;
pub use ids::ID_SCHEMES;
pub use plans::PlanOffer;
pub use routes::{Handler, ROUTES};

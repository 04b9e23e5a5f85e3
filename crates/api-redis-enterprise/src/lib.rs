//! The dialect `redis-enterprise`: the REST API of Redis Enterprise Software, spoken to its own clients.
//!
//! Proven by the generated Python SDK `redis-enterprise-python` 1.0.3, the wheel `redis-enterprise` and curl lines of the
//! product's documentation. What is shown, hidden, honoured and refused is told in `docs/dialects/redis-enterprise.md`.
//!
//! Called by `server`, which makes a [`RedisEnterprise`], binds listeners for it and runs its background work. It holds no state of
//! its own but caches: everything is in `control`, what only this API knows in documents. It never speaks to a database server.
//!
//! Start reading at [`ROUTES`]: the URL leads to a row, the row to a handler, the handler to `translate` and `wire`.
//! Odd-looking answers are marked with *quirk* where they are made.

mod alerts;
mod app;
mod archive;
mod auth;
mod auto_upgrade;
mod call;
mod documents;
mod error;
mod fields;
mod handlers;
mod ids;
mod mail;
mod routes;
mod settings;
mod state;
mod tokens;
mod translate;
mod wire;

pub use app::{
    AdminAccount, BootstrapPolicy, DEFAULT_SOFTWARE_VERSION, RedisEnterprise, RedisEnterpriseOptions, dialect,
};
pub use auth::Permission;
pub use ids::{BOOTSTRAP_USER_UID, ID_SCHEMES};
pub use routes::{Handler, ROUTES};

//! The table: path, method, handler.

use axum::Router;
use axum::routing::{delete, get, post};

use crate::accounts;
use crate::error::Failure;
use crate::handlers::{self, App};

/// Every path of this API.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/databases", get(handlers::list).post(handlers::create))
        .route(
            "/databases/{database}",
            get(handlers::show).patch(handlers::update).delete(handlers::delete),
        )
        .route("/databases/{database}/failover", post(handlers::fail_over))
        .route("/databases/{database}/flush", post(handlers::flush))
        .route("/databases/{database}/events", get(handlers::events))
        .route("/databases/{database}/logs", get(handlers::logs))
        .route("/events", get(handlers::all_events))
        .route("/operations/{operation}", get(handlers::operation))
        .route("/accounts/redis-cloud", get(accounts::list).post(accounts::create))
        .route("/accounts/redis-cloud/{account}/keys", post(accounts::create_key))
        .route(
            "/accounts/redis-cloud/{account}/keys/{key}",
            delete(accounts::delete_key),
        )
        .route("/seed/{dialect}", post(handlers::seed))
        .fallback(|| async { Failure::unknown_path() })
        .method_not_allowed_fallback(|| async { Failure::other_method() })
        .with_state(app)
}

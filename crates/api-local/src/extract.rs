//! What handlers take from a request; whatever cannot be read is refused in the words of this API.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::error::Failure;
use crate::handlers::App;

/// The one variable segment of a path.
pub(crate) struct Key(pub(crate) String);

impl FromRequestParts<App> for Key {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let path = Path::from_request_parts(parts, app).await;
        path.map(|Path(key)| Self(key))
            .map_err(|error| Failure::malformed(error.body_text()))
    }
}

/// The query.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Parameters<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let query = Query::from_request_parts(parts, app).await;
        query
            .map(|Query(query)| Self(query))
            .map_err(|error| Failure::malformed(error.body_text()))
    }
}

/// A JSON body, whatever type it claims to be of. The errors of the parser name a place and quote no value of a field that fits.
pub(crate) struct Content<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Content<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Result<Self, Failure> {
        let body = Bytes::from_request(request, app).await;
        let body = body.map_err(|error| Failure::malformed(error.body_text()))?;
        serde_json::from_slice(&body)
            .map(Self)
            .map_err(|error| Failure::malformed(error.to_string()))
    }
}

//! What handlers take from a request; whatever cannot be read is refused in the words of this API.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::error::Failure;
use crate::handlers::App;

/// Longest body in bytes; an honest one has some hundred.
const BODY_MAX: usize = 1 << 20;

/// How much of a body that is too long is read all the same, in bytes: a client that is cut off while it sends loses the answer.
const DISCARDED_MAX: usize = 16 << 20;

/// Time to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The variable segment of a path, or all of them as a tuple.
pub(crate) struct Key<T = String>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Key<T> {
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

    async fn from_request(request: Request, _: &App) -> Result<Self, Failure> {
        let read = tokio::time::timeout(BODY_TIMEOUT, read(request.into_body())).await;
        let body = read.unwrap_or_else(|_| Err(Failure::too_slow()))?;
        serde_json::from_slice(&body)
            .map(Self)
            .map_err(|error| Failure::malformed(error.to_string()))
    }
}

async fn read(mut body: Body) -> Result<Vec<u8>, Failure> {
    let (mut kept, mut length) = (Vec::new(), 0_usize);
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|error| Failure::malformed(error.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length <= BODY_MAX {
            kept.extend_from_slice(&data);
        } else if length > DISCARDED_MAX {
            break;
        }
    }
    if length > BODY_MAX {
        return Err(Failure::too_long(BODY_MAX));
    }
    Ok(kept)
}

//! The errors of this API: a status, a word and a sentence.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use pilothouse_control::{ControlError, Noun};

use crate::wire::ErrorView;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Failure {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    /// The peer may not use this API.
    pub(crate) fn forbidden() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "only the account of the control plane and root may use this socket",
        )
    }

    /// The request cannot be read.
    pub(crate) fn malformed(why: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", why)
    }

    /// The body is longer than anything that this API takes.
    pub(crate) fn too_long(limit: usize) -> Self {
        let message = format!("the body is longer than {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-long", message)
    }

    /// The body did not arrive in time.
    pub(crate) fn too_slow() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "too-slow",
            "the body did not arrive in time",
        )
    }

    /// A value is not allowed.
    pub(crate) fn invalid(field: &str, why: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", format!("{field} {why}"))
    }

    /// Nothing is there.
    pub(crate) fn not_found(what: Noun, name: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            format!("there is no {what} {name:?}"),
        )
    }

    /// A name fits several.
    pub(crate) fn ambiguous(name: &str, ids: &[String]) -> Self {
        let message = format!(
            "several databases are named {name:?}; say the id in place of the name: {}",
            ids.join(", ")
        );
        Self::new(StatusCode::CONFLICT, "ambiguous", message)
    }

    /// There is no such path.
    pub(crate) fn unknown_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown-path", "there is nothing at this path")
    }

    /// The path is there, and not with this method.
    pub(crate) fn other_method() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "this path is not used with this method",
        )
    }

    /// A part of this API that is not there yet.
    pub(crate) fn unsupported(message: &str) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "unsupported", message)
    }

    /// Our own fault; the log has more.
    pub(crate) fn panicked() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "internal error; see the log of the control plane",
        )
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        let status = match &error {
            ControlError::NotFound { .. } => StatusCode::NOT_FOUND,
            ControlError::AlreadyExists { .. } | ControlError::Conflict(_) | ControlError::Busy { .. } => {
                StatusCode::CONFLICT
            }
            ControlError::Invalid { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            ControlError::Quota(_) | ControlError::Forbidden(_) => StatusCode::FORBIDDEN,
            ControlError::Unauthenticated => StatusCode::UNAUTHORIZED,
            ControlError::Unsupported(_) => StatusCode::NOT_IMPLEMENTED,
            ControlError::NoCapacity(_) | ControlError::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            ControlError::Internal { detail } => {
                tracing::error!(detail, "a request over the local socket failed");
                return Self::panicked();
            }
        };
        Self::new(status, error.code(), error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = ErrorView {
            code: self.code.to_owned(),
            message: self.message,
        };
        (self.status, Json(body)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_of_our_own_faults_stay_inside() {
        let failure = Failure::from(ControlError::internal("password=hunter2"));
        assert_eq!(failure.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!failure.message.contains("hunter2"));
    }

    #[test]
    fn codes_are_those_of_operations() {
        let failure = Failure::from(ControlError::Conflict("no replica in sync".into()));
        assert_eq!(
            (failure.status, failure.code, failure.message.as_str()),
            (StatusCode::CONFLICT, "conflict", "no replica in sync")
        );
    }
}

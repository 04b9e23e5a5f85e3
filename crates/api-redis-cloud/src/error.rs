//! Errors: those of an HTTP answer (specification §2), and those that a task ends with (§2.3, §17).

use pilothouse_api::{BodyError, Refusal as ToolkitRefusal, Response, StatusCode, json_response};
use pilothouse_control::{ControlError, Field, Noun, Refusal};
use pilothouse_model::Timestamp;
use serde_json::json;

/// An answer that is an error. The path is added where it is known.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// A feature that is switched off here (§13.5).
    pub(crate) fn switched_off(feature: &str) -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            format!("{feature} is not offered here"),
        )
    }

    pub(crate) fn internal(detail: impl std::fmt::Display) -> Self {
        tracing::error!(%detail, "internal error");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal error, see the log of the control plane",
        )
    }

    /// The body that clients of this API read: a reason phrase in `error` is what one of them decides "gone" by.
    pub(crate) fn into_response(self, now: Timestamp, path: &str) -> Response {
        let body = json!({
            "timestamp": crate::translate::time::with_offset(now),
            "status": self.status.as_u16(),
            "error": self.status.canonical_reason().unwrap_or("Error"),
            "message": self.message,
            "path": path,
        });
        json_response(self.status, &body)
    }
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<&ToolkitRefusal> for Failure {
    fn from(refusal: &ToolkitRefusal) -> Self {
        let status = match refusal {
            ToolkitRefusal::BodyTooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            ToolkitRefusal::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            ToolkitRefusal::HeadTooLong => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            ToolkitRefusal::Panicked(_) => StatusCode::INTERNAL_SERVER_ERROR,
            ToolkitRefusal::BodyUnreadable | ToolkitRefusal::NotHttp | ToolkitRefusal::QueryMalformed => {
                StatusCode::BAD_REQUEST
            }
        };
        Self::new(status, refusal.to_string())
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
            ControlError::Quota(_) | ControlError::NoCapacity(_) => StatusCode::TOO_MANY_REQUESTS,
            ControlError::Unauthenticated => StatusCode::UNAUTHORIZED,
            ControlError::Forbidden(_) => StatusCode::FORBIDDEN,
            ControlError::Unsupported(_) => StatusCode::PRECONDITION_FAILED,
            ControlError::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            ControlError::Internal { detail } => return Self::internal(detail),
        };
        Self::new(status, error.to_string())
    }
}

/// Why a task ends in `processing-error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaskError {
    pub(crate) code: &'static str,
    pub(crate) description: String,
}

impl TaskError {
    pub(crate) fn new(code: &'static str, description: impl Into<String>) -> Self {
        Self {
            code,
            description: description.into(),
        }
    }
}

impl From<TaskError> for Refusal {
    fn from(error: TaskError) -> Self {
        Self {
            code: error.code.to_owned(),
            message: error.description,
        }
    }
}

impl From<ControlError> for TaskError {
    fn from(error: ControlError) -> Self {
        let code = match &error {
            ControlError::NotFound { what: Noun::Group } => "SUBSCRIPTION_NOT_FOUND",
            ControlError::NotFound { what: Noun::Database } => "DATABASE_NOT_FOUND",
            ControlError::NotFound { .. } => "ENTITY_NOT_FOUND",
            ControlError::AlreadyExists { field: "port", .. } => "DATABASE_PORT_IS_UNAVAILABLE",
            ControlError::AlreadyExists { .. } | ControlError::Conflict(_) => "CONFLICT_ERROR",
            ControlError::Busy { .. } => "DATABASE_NOT_ACTIVE",
            ControlError::Invalid { field, .. } => invalid(*field),
            ControlError::Quota(_) => "DATABASE_INVALID_QUANTITY",
            ControlError::NoCapacity(_) => "PLANNER_FAILURE",
            ControlError::Unauthenticated | ControlError::Forbidden(_) => "UNAUTHORIZED",
            ControlError::Unsupported(_) => "DATABASE_FEATURE_NOT_SUPPORTED",
            ControlError::Unavailable { .. } => "CLUSTER_COMMUNICATION_ERROR",
            ControlError::Internal { detail } => {
                tracing::error!(%detail, "a task failed");
                "GENERAL_ERROR"
            }
        };
        Self::new(code, error.to_string())
    }
}

const fn invalid(field: Field) -> &'static str {
    match field {
        Field::Name => "DATABASE_INVALID_NAME",
        Field::Version => "DATABASE_REDIS_VERSION_INVALID_VALUE",
        Field::Memory => "DATABASE_SIZE_TOO_SMALL",
        Field::Cluster | Field::SourceAllow => "DATABASE_OSS_CLUSTER_NOT_SUPPORTED",
        Field::Shards => "DATABASE_INVALID_SHARDS_COUNT",
        Field::Port => "DATABASE_PORT_INVALID_VALUE",
        Field::ClientCertificates | Field::Certificate => "DATABASE_INVALID_CERT",
        Field::ReplicaSource => "DATABASE_REPLICA_OF_BAD_URI",
        Field::Backup | Field::Location => "DATABASE_INVALID_BACKUP_PATH",
        Field::AclRule => "ACL_REDIS_RULE_PATTERN_NOT_VALID",
        Field::Eviction => "DATABASE_EVICTION_POLICY_NOT_COMPATIBLE_WITH_REDIS_VERSION",
        _ => "BAD_REQUEST",
    }
}

/// The number and words that go with a code (§17).
pub(crate) fn status_of(code: &str) -> &'static str {
    match code {
        "TOO_MANY_PENDING_SUBSCRIPTIONS" => "429 TOO_MANY_REQUESTS",
        "GENERAL_ERROR" | Refusal::INTERNAL => "500 INTERNAL_SERVER_ERROR",
        "UNAUTHORIZED" => "403 FORBIDDEN",
        "TGW_DOES_NOT_EXIST" => "404 NOT_FOUND",
        code if code.ends_with("_NOT_FOUND") && code != "SUBSCRIPTION_PI_NOT_FOUND" => "404 NOT_FOUND",
        code if code.ends_with("_NOT_ACTIVE") => "403 FORBIDDEN",
        code if code.ends_with("_EXISTS") && !code.ends_with("_DOES_NOT_EXISTS") => "409 CONFLICT",
        code if code.contains("_ALREADY_") || code.ends_with("_IN_USE") || code.ends_with("_USED") => "409 CONFLICT",
        "CONFLICT_ERROR" => "409 CONFLICT",
        _ => "400 BAD_REQUEST",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_status_that_the_service_sends() {
        let check = |code: &str, status: &str| assert_eq!(status_of(code), status, "{code}");
        check("SUBSCRIPTION_NOT_FOUND", "404 NOT_FOUND");
        check("SUBSCRIPTION_PI_NOT_FOUND", "400 BAD_REQUEST");
        check("SUBSCRIPTION_NOT_ACTIVE", "403 FORBIDDEN");
        check("DATABASE_NAME_EXISTS", "409 CONFLICT");
        check("ACL_ROLE_DOES_NOT_EXISTS", "400 BAD_REQUEST");
        check("SUBSCRIPTION_IN_USE", "409 CONFLICT");
        check("TOO_MANY_PENDING_SUBSCRIPTIONS", "429 TOO_MANY_REQUESTS");
        check("DATABASE_INVALID_NAME", "400 BAD_REQUEST");
        check("GENERAL_ERROR", "500 INTERNAL_SERVER_ERROR");
    }

    #[tokio::test]
    async fn the_reason_phrase_is_in_the_body() {
        let failure = Failure::not_found("Subscription 4711 not found");
        let response = failure.into_response(Timestamp::default(), "/v1/subscriptions/4711");
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
    }
}

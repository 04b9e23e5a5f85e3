//! What goes wrong, in the words of this API: a status, a code, one sentence.
//!
//! The one mapping of core errors is [`Failure::from`]; it has no `_` arm, so that a new core error must be decided here. Where an
//! endpoint has its own code for a core error, its handler says so with [`Failure::with_code`].

use pilothouse_api::{BodyError, Refusal, Response, StatusCode, json_response};
use pilothouse_control::{ControlError, Field, Noun};
use serde_json::{Value, json};

/// An answer that says no.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    /// HTTP status. 406 is this API's ordinary validation failure, 400 is for what does not fit the schema.
    pub(crate) status: StatusCode,
    /// `error_code`, snake case.
    pub(crate) code: &'static str,
    /// One sentence for people.
    pub(crate) description: String,
    /// More for programs.
    pub(crate) details: Option<Value>,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, code: &'static str, description: impl Into<String>) -> Self {
        Self {
            status,
            code,
            description: description.into(),
            details: None,
        }
    }

    /// 400: the body or query has a value of the wrong type or outside its range.
    pub(crate) fn invalid_schema(description: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_schema", description)
    }

    /// 400 with a code of its own.
    pub(crate) fn bad_request(code: &'static str, description: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, description)
    }

    /// 401.
    pub(crate) fn unauthorized(description: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", description)
    }

    /// 403.
    pub(crate) fn forbidden(code: &'static str, description: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, description)
    }

    /// 404.
    pub(crate) fn not_found(code: &'static str, description: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, description)
    }

    /// 406: understood, not acceptable.
    pub(crate) fn not_acceptable(code: &'static str, description: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, code, description)
    }

    /// 409: busy, duplicate or in the wrong state.
    pub(crate) fn conflict(code: &'static str, description: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, description)
    }

    /// 503.
    pub(crate) fn unavailable(code: &'static str, description: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, description)
    }

    /// 500; the detail goes to the log.
    pub(crate) fn internal(detail: impl std::fmt::Display) -> Self {
        tracing::error!(%detail, "a request failed by our own fault");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "internal error, see the log",
        )
    }

    /// The path is not registered.
    pub(crate) fn unknown_path() -> Self {
        Self::not_found("not_found", "there is nothing at this path")
    }

    /// The same failure with an endpoint's own code.
    pub(crate) fn with_code(mut self, code: &'static str) -> Self {
        self.code = code;
        self
    }

    /// The same failure with an endpoint's own status and code.
    pub(crate) fn with_status(mut self, status: StatusCode, code: &'static str) -> Self {
        self.status = status;
        self.code = code;
        self
    }

    /// The same failure with more for programs.
    pub(crate) fn with_details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    /// The answer. The sentence goes out under both names that clients read.
    pub(crate) fn into_response(self) -> Response {
        let mut body = json!({"error_code": self.code, "description": self.description, "message": self.description});
        if let Some(details) = self.details {
            body["details"] = details;
        }
        let mut response = json_response(self.status, &body);
        if self.status == StatusCode::UNAUTHORIZED {
            let realm = pilothouse_api::header::HeaderValue::from_static("Basic realm=\"cnm\"");
            response
                .headers_mut()
                .insert(pilothouse_api::header::WWW_AUTHENTICATE, realm);
        }
        response
    }
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        let description = error.to_string();
        match error {
            ControlError::NotFound { what } => Self::not_found(not_found_code(what), description),
            ControlError::AlreadyExists { what, field } => already_exists(what, field, description),
            ControlError::Invalid { field, why } => invalid(field, why),
            ControlError::Conflict(_) => Self::conflict("conflict", description),
            ControlError::Busy { .. } => Self::conflict("busy", description),
            ControlError::Quota(_) | ControlError::NoCapacity(_) => {
                Self::not_acceptable("insufficient_resources", description)
            }
            ControlError::Unauthenticated => Self::unauthorized(description),
            ControlError::Forbidden(_) => Self::forbidden("forbidden", description),
            ControlError::Unsupported(_) => Self::new(StatusCode::NOT_IMPLEMENTED, "unsupported_resource", description),
            ControlError::Unavailable { .. } => Self::unavailable("service_unavailable", description),
            ControlError::Internal { detail } => Self::internal(detail),
        }
    }
}

const fn not_found_code(what: Noun) -> &'static str {
    match what {
        Noun::Database => "db_not_exist",
        Noun::Server => "shard_not_exist",
        Noun::Host => "node_not_found",
        Noun::User => "user_not_exist",
        Noun::Role => "role_not_exist",
        Noun::AclRule => "redis_acl_not_exist",
        Noun::Group | Noun::Operation | Noun::Certificate | Noun::Document | Noun::Tenant => "not_found",
    }
}

fn already_exists(what: Noun, field: &'static str, description: String) -> Failure {
    match (what, field) {
        (Noun::User, "email") => Failure::conflict("email_already_exists", description),
        (Noun::User, _) => Failure::conflict("name_already_exists", description),
        // The classic documentation of roles and ACLs says 400, and clients were written against it.
        (Noun::Role | Noun::AclRule, _) => Failure::bad_request("name_already_exists", description),
        (Noun::Database, "port") => Failure::not_acceptable("port_unavailable", description),
        (Noun::Database, _) => Failure::conflict("uid_exists", description),
        _ => Failure::conflict("already_exists", description),
    }
}

fn invalid(field: Field, why: String) -> Failure {
    match field {
        Field::Name | Field::Email | Field::WireId | Field::Document => Failure::invalid_schema(why),
        Field::Engine => Failure::not_acceptable("unsupported_database_type", why),
        Field::Version => Failure::not_acceptable("invalid_version", why),
        Field::Memory => Failure::not_acceptable("invalid_memory_size", why),
        Field::Shards => Failure::not_acceptable("invalid_sharding", why),
        Field::Cluster | Field::SourceAllow => Failure::not_acceptable("invalid_oss_cluster_configuration", why),
        Field::Replicas => Failure::not_acceptable("invalid_replication", why),
        Field::Persistence => Failure::not_acceptable("invalid_data_persistence", why),
        Field::Eviction => Failure::not_acceptable("eviction_policy_violation", why),
        Field::Port => Failure::not_acceptable("port_unavailable", why),
        Field::Tls => Failure::not_acceptable("invalid_tls_mode", why),
        Field::ClientCertificates | Field::Certificate => Failure::not_acceptable("invalid_certificate", why),
        Field::Bindings => Failure::not_acceptable("invalid_param", why),
        Field::DisabledCommands => Failure::not_acceptable("invalid_disabled_commands", why),
        Field::Tuning => Failure::not_acceptable("invalid_configuration", why),
        Field::ReplicaSource => Failure::not_acceptable("invalid_replica_sources", why),
        Field::Backup => Failure::not_acceptable("invalid_backup_location", why),
        Field::Location => Failure::not_acceptable("unsupported_location", why),
        Field::Password => Failure::bad_request("password_not_complex", why),
        Field::Roles => Failure::bad_request("invalid_role_uids_param", why),
        Field::AclRule => Failure::bad_request("invalid_param", why),
        Field::Command => Failure::bad_request("command_error", why),
    }
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Syntax(_) => Self::bad_request("bad_request", error.to_string()),
            BodyError::OtherType(_) => Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                error.to_string(),
            ),
            BodyError::NotAnObject(_) => Self::invalid_schema(error.to_string()),
        }
    }
}

impl From<&Refusal> for Failure {
    fn from(refusal: &Refusal) -> Self {
        let description = refusal.to_string();
        match refusal {
            Refusal::BodyTooLong { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "bad_request", description),
            Refusal::BodyTooSlow => Self::new(StatusCode::REQUEST_TIMEOUT, "bad_request", description),
            Refusal::BodyUnreadable | Refusal::QueryMalformed | Refusal::NotHttp => {
                Self::bad_request("bad_request", description)
            }
            Refusal::HeadTooLong => Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "bad_request", description),
            Refusal::Panicked(_) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", description),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_stands_under_both_names() {
        let failure = Failure::not_acceptable("invalid_version", "no such version");
        let response = failure.clone().into_response();
        assert_eq!(response.status(), 406);
        assert_eq!(response.headers()["content-type"], "application/json");
        assert!(failure.into_response().headers().get("www-authenticate").is_none());
        let refused = Failure::unauthorized("who are you?").into_response();
        assert_eq!(refused.headers()["www-authenticate"], "Basic realm=\"cnm\"");
    }

    #[test]
    fn core_errors_have_this_api_s_status_and_code() {
        let check = |error: ControlError, status: u16, code: &str| {
            let failure = Failure::from(error);
            assert_eq!((failure.status.as_u16(), failure.code), (status, code));
        };
        check(ControlError::not_found(Noun::Database), 404, "db_not_exist");
        check(ControlError::not_found(Noun::User), 404, "user_not_exist");
        check(
            ControlError::AlreadyExists {
                what: Noun::Database,
                field: "port",
            },
            406,
            "port_unavailable",
        );
        check(
            ControlError::AlreadyExists {
                what: Noun::Database,
                field: "id",
            },
            409,
            "uid_exists",
        );
        check(
            ControlError::AlreadyExists {
                what: Noun::User,
                field: "email",
            },
            409,
            "email_already_exists",
        );
        check(
            ControlError::AlreadyExists {
                what: Noun::Role,
                field: "name",
            },
            400,
            "name_already_exists",
        );
        check(ControlError::invalid(Field::Name, "bad"), 400, "invalid_schema");
        check(ControlError::invalid(Field::Version, "bad"), 406, "invalid_version");
        check(ControlError::Busy { operation: None }, 409, "busy");
        check(ControlError::Conflict("x".into()), 409, "conflict");
        check(ControlError::Quota("x".into()), 406, "insufficient_resources");
        check(ControlError::NoCapacity("x".into()), 406, "insufficient_resources");
        check(ControlError::Unauthenticated, 401, "unauthorized");
        check(ControlError::Forbidden("x".into()), 403, "forbidden");
        check(ControlError::Unsupported("x".into()), 501, "unsupported_resource");
        let later = ControlError::Unavailable {
            why: "x".into(),
            retry_after: std::time::Duration::from_secs(1),
        };
        check(later, 503, "service_unavailable");
        check(ControlError::internal("a secret detail"), 500, "internal_error");
        assert!(
            !Failure::from(ControlError::internal("a secret detail"))
                .description
                .contains("secret")
        );
    }
}

//! Small resources as tables of their keys: settings of parts that do not exist here. Stored and shown.

use crate::fields::Default::{Absent, Bool, Int, Json, Text};
use crate::fields::{COUNT, Field, Kind, rw};

/// `/v1/cm_settings`.
pub(crate) const CM_SETTINGS: &[Field] = &[rw("timezone", Kind::Text, Text("UTC"))];

/// `/v1/ocsp`.
pub(crate) const OCSP: &[Field] = &[
    rw("ocsp_functionality", Kind::Bool, Bool(false)),
    rw("responder_url", Kind::Text, Text("")),
    rw("query_frequency", Kind::Int(60, 86_400), Int(3600)),
    rw("response_timeout", Kind::Int(1, 60), Int(1)),
    rw("recovery_frequency", Kind::Int(60, 86_400), Int(60)),
    rw("recovery_max_tries", COUNT, Int(5)),
];

/// `/v1/job_scheduler`.
pub(crate) const JOB_SCHEDULER: &[Field] = &[
    rw(
        "backup_job_settings",
        Kind::Object,
        Json(r#"{"cron_expression": "*/5 * * * *", "enabled": true}"#),
    ),
    rw(
        "bdb_usage_report_job_settings",
        Kind::Object,
        Json(r#"{"cron_expression": "0 */1 * * *", "enabled": false, "file_retention_days": 365}"#),
    ),
    rw(
        "cert_rotation_job_settings",
        Kind::Object,
        Json(r#"{"cron_expression": "0 * * * *", "enabled": true, "expiry_days_before_rotation": 60}"#),
    ),
    rw(
        "log_rotation_job_settings",
        Kind::Object,
        Json(r#"{"cron_expression": "*/5 * * * *", "enabled": true}"#),
    ),
    rw(
        "node_checks_job_settings",
        Kind::Object,
        Json(r#"{"cron_expression": "0 * * * *", "enabled": true}"#),
    ),
    rw(
        "redis_cleanup_job_settings",
        Kind::Object,
        Json(r#"{"cron_expression": "0 * * * *"}"#),
    ),
    rw(
        "rotate_ccs_job_settings",
        Kind::Object,
        Json(r#"{"cron_expression": "*/5 * * * *", "enabled": true, "file_suffix": "5min", "rotate_max_num": 24}"#),
    ),
];

/// `/v1/diagnostics`.
pub(crate) const DIAGNOSTICS: &[Field] = &[
    hourly("bdb_client_list_target"),
    hourly("bdb_info_target"),
    hourly("bdb_target"),
    hourly("cluster_target"),
    hourly("endpoint_target"),
    hourly("license_target"),
    hourly("memory_target"),
    hourly("module_target"),
    hourly("network_target"),
    hourly("node_target"),
    hourly("process_target"),
    hourly("shard_target"),
    rw(
        "slowlog_target",
        Kind::Object,
        Json(r#"{"cron_expression": "0 * * * *", "max_entries": 128}"#),
    ),
];

/// Something that is done every hour until somebody says otherwise.
const fn hourly(name: &'static str) -> Field {
    rw(name, Kind::Object, Json(r#"{"cron_expression": "0 * * * *"}"#))
}

/// `/v1/cluster/auditing/db_conns`.
pub(crate) const AUDITING: &[Field] = &[
    rw("audit_protocol", Kind::Word(&["TCP", "local"]), Text("TCP")),
    rw("audit_address", Kind::Text, Text("")),
    rw("audit_port", Kind::Int(1, 65_535), Absent),
    rw("audit_reconnect_interval", COUNT, Int(1)),
    rw("audit_reconnect_max_attempts", COUNT, Int(0)),
];

/// `/v1/cluster/ldap`; neither plane can be switched on.
pub(crate) const LDAP: &[Field] = &[
    rw("uris", Kind::Texts, Json("[]")),
    rw("bind_dn", Kind::Text, Text("")),
    rw("ca_cert", Kind::Text, Text("")),
    rw("starttls", Kind::Bool, Bool(false)),
    rw("cache_ttl", COUNT, Int(300)),
    rw("directory_timeout_s", Kind::Int(5, 60), Int(5)),
    rw("control_plane", Kind::Bool, Bool(false)),
    rw("data_plane", Kind::Bool, Bool(false)),
    rw("user_dn_template", Kind::Text, Absent),
    rw("user_dn_query", Kind::Object, Absent),
    rw("dn_group_attr", Kind::Text, Absent),
    rw("dn_group_query", Kind::Object, Absent),
];

//! JSON schemas, made from the tables that requests are checked against.

use serde_json::{Value, json};

use crate::app::App;
use crate::call::{Answer, Call, ok};
use crate::error::Failure;
use crate::fields::{self, Field};
use crate::wire::{bdb, cluster, node, policy, small, user};

const OBJECTS: &[(&str, &str, &[Field])] = &[
    ("cluster", "settings of the cluster", cluster::SETTINGS),
    ("cluster_settings", "policy of the cluster", policy::SETTINGS),
    ("node", "settings of a node", node::SETTINGS),
    ("proxy", "tuning of a proxy", node::PROXY),
    ("user", "settings of a user", user::SETTINGS),
    ("cm_settings", "settings of the user interface", small::CM_SETTINGS),
    ("ocsp", "checks of the proxy certificate", small::OCSP),
    ("job_scheduler", "schedules of jobs", small::JOB_SCHEDULER),
    ("diagnostics", "schedules of diagnostics", small::DIAGNOSTICS),
    ("ldap", "LDAP", small::LDAP),
    ("db_conns_auditing_config", "auditing of connections", small::AUDITING),
];

pub(crate) async fn get(_app: App, call: Call) -> Answer {
    match call.query("object").filter(|name| !name.is_empty()) {
        None => Ok(ok(&all())),
        Some(name) => all()
            .remove(name)
            .map(|schema| ok(&schema))
            .ok_or_else(|| Failure::not_acceptable("unknown_object", format!("there is no schema of {name}"))),
    }
}

fn all() -> pilothouse_api::JsonObject {
    let mut schemas: pilothouse_api::JsonObject = OBJECTS
        .iter()
        .map(|(name, description, table)| ((*name).to_owned(), fields::schema(table, description)))
        .collect();
    schemas.insert("bdb".to_owned(), bdb_schema());
    for (name, description) in [("role", "a role"), ("redis_acl", "rights inside databases")] {
        let properties = json!({"uid": {"type": "integer"}, "name": {"type": "string"}});
        schemas.insert(
            name.to_owned(),
            json!({"type": "object", "description": description, "properties": properties}),
        );
    }
    schemas
}

fn bdb_schema() -> Value {
    let mut schema = fields::schema(bdb::EFFECTIVE, "a database");
    let stored = fields::schema(bdb::ECHO, "");
    if let (Some(properties), Some(stored)) = (schema["properties"].as_object_mut(), stored["properties"].as_object()) {
        properties.extend(stored.clone());
    }
    schema["required"] = json!(["name", "memory_size"]);
    schema
}

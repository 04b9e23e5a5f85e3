//! Databases, events and logs for people. Pure.

use crate::local::wire::{DatabaseView, EventView, LogView};
use crate::output::{Table, bytes};

/// One line for each database.
pub(super) fn list(databases: &[DatabaseView]) -> Table {
    let mut table = Table::new(&[
        "NAME", "STATE", "ENDPOINT", "ENGINE", "MEMORY", "REPLICAS", "MADE BY", "ID",
    ]);
    for database in databases {
        table.row([
            database.name.clone(),
            database.state.clone(),
            database.endpoint.clone(),
            format!("{} {}", database.engine, database.version),
            memory(database),
            database.replicas.to_string(),
            database.origin.clone(),
            database.id.clone(),
        ]);
    }
    table
}

/// Everything about one database.
pub(super) fn one(database: &DatabaseView) -> Vec<String> {
    let mut facts = Table::plain();
    let mut fact = |name: &str, value: String| facts.row([name.to_owned(), value]);
    fact("name", database.name.clone());
    fact("id", database.id.clone());
    fact("tenant", database.tenant.clone());
    fact("made by", format!("{}, {}", database.origin, database.created_at));
    let reason = if database.reason.is_empty() {
        String::new()
    } else {
        format!(": {}", database.reason)
    };
    fact("state", format!("{}{reason}", database.state));
    fact(
        "endpoint",
        format!("{}{}", database.endpoint, if database.tls { ", TLS" } else { "" }),
    );
    fact("engine", format!("{} {}", database.engine, database.version));
    fact("memory", memory(database));
    fact("replicas", database.replicas.to_string());
    fact("persistence", database.persistence.clone());
    fact("eviction", database.eviction.clone());
    let sources = if database.source_allow.is_empty() {
        "any".to_owned()
    } else {
        database.source_allow.join(", ")
    };
    fact("sources", sources);
    let connections = match database.max_connections {
        0 => "no limit".to_owned(),
        most => format!("at most {most}"),
    };
    fact("connections", connections);
    if let Some(password) = &database.password {
        fact("password", password.clone());
    }
    if let Some(operation) = &database.operation {
        fact("operation", operation.clone());
    }
    let mut lines = facts.lines();
    for part in [servers(database), conditions(database)].into_iter().flatten() {
        lines.push(String::new());
        lines.extend(part.lines());
    }
    lines
}

fn servers(database: &DatabaseView) -> Option<Table> {
    let mut table = Table::new(&["SERVER", "ROLE", "STATE", "PORT", "PID"]);
    for server in &database.servers {
        table.row([
            server.id.clone(),
            server.role.clone(),
            server.state.clone(),
            server.port.to_string(),
            server.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
        ]);
    }
    (!database.servers.is_empty()).then_some(table)
}

fn conditions(database: &DatabaseView) -> Option<Table> {
    let mut table = Table::new(&["CONDITION", "TRUTH", "SINCE", "REASON", "MESSAGE"]);
    for condition in &database.conditions {
        let (kind, truth, since) = (condition.kind.clone(), condition.truth.clone(), condition.since.clone());
        table.row([kind, truth, since, condition.reason.clone(), condition.message.clone()]);
    }
    (!database.conditions.is_empty()).then_some(table)
}

/// One line for each event, oldest first.
pub(super) fn events(events: &[EventView]) -> Table {
    let mut table = Table::new(&["AT", "SEVERITY", "EVENT", "BY", "MESSAGE"]);
    for event in events {
        let (at, severity, kind) = (event.at.clone(), event.severity.clone(), event.kind.clone());
        table.row([at, severity, kind, event.actor.clone(), event.message.clone()]);
    }
    table
}

/// The lines of every server below a heading.
pub(super) fn logs(logs: &[LogView]) -> Vec<String> {
    let mut lines = Vec::new();
    for log in logs {
        lines.push(format!("==> {} ({}) <==", log.server, log.role));
        lines.extend(log.lines.iter().cloned());
    }
    lines
}

fn memory(database: &DatabaseView) -> String {
    let limit = if database.memory_bytes == 0 {
        "no limit".to_owned()
    } else {
        bytes(database.memory_bytes)
    };
    database
        .used_memory_bytes
        .map_or(limit.clone(), |used| format!("{} of {limit}", bytes(used)))
}

//! Schedules of diagnostic logs.

use pilothouse_api::JsonObject;
use serde_json::Value;

use crate::app::App;
use crate::call::{Answer, Call, ok};
use crate::error::Failure;
use crate::handlers::stored;
use crate::wire::small::DIAGNOSTICS;

const DOCUMENT: &str = "diagnostics";

pub(crate) async fn get(app: App, _call: Call) -> Answer {
    Ok(ok(&stored::read(&app, DIAGNOSTICS, DOCUMENT)))
}

pub(crate) async fn update(app: App, call: Call) -> Answer {
    check_schedules(&call.body()?)?;
    Ok(ok(&stored::write(&app, &call, DIAGNOSTICS, DOCUMENT).await?))
}

/// Checks every `cron_expression` of a body: five fields of digits and `* / , -`.
pub(crate) fn check_schedules(body: &JsonObject) -> Result<(), Failure> {
    for (name, job) in body {
        let Some(schedule) = job.get("cron_expression") else {
            continue;
        };
        let fields: Vec<&str> = schedule.as_str().unwrap_or_default().split_whitespace().collect();
        let field = |field: &&str| field.chars().all(|c| c.is_ascii_alphanumeric() || "*/,-".contains(c));
        if fields.len() != 5 || !fields.iter().all(field) {
            return Err(Failure::invalid_schema(format!(
                "{name}.cron_expression is not a cron expression"
            )));
        }
        if job
            .get("enabled")
            .is_some_and(|enabled| !matches!(enabled, Value::Bool(_)))
        {
            return Err(Failure::invalid_schema(format!("{name}.enabled must be true or false")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schedules_have_five_fields() {
        let check =
            |schedule: Value| check_schedules(json!({"x": {"cron_expression": schedule}}).as_object().unwrap()).is_ok();
        assert!(check(json!("*/5 * * * *")) && check(json!("0 1,2 * * 1-5")));
        assert!(!check(json!("* * * *")) && !check(json!(1)) && !check(json!("a b c d !")));
    }
}

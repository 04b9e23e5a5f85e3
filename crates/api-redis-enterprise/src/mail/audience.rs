//! Who is told of an alert: users who asked for it and have an address.

use lettre::Address;
use pilothouse_model::Subject;
use serde_json::Value;

use crate::app::App;
use crate::documents;
use crate::wire::{bdb, user};

/// The addresses of those who asked to be told of the alerts of a subject.
pub(super) fn of(app: &App, subject: Subject) -> Vec<Address> {
    if matches!(subject, Subject::Database(_)) && !is_on(documents::read(app, subject, bdb::DOCUMENT).as_ref()) {
        return Vec::new();
    }
    let uid = app.uid(subject);
    let users = app.control().users();
    users
        .iter()
        .filter(|known| {
            let settings = documents::read(app, Subject::User(known.id), user::DOCUMENT);
            settings.is_some_and(|settings| asks_for(&settings, subject, uid))
        })
        // A login need not look like an address, and then there is nowhere to write to.
        .filter_map(|known| known.email.parse().ok())
        .collect()
}

/// Whether an object wants mail at all.
fn is_on(settings: Option<&Value>) -> bool {
    settings.is_some_and(|settings| settings["email_alerts"] == true)
}

/// Whether a user with these settings wants to be told of the alerts of a subject with this uid.
fn asks_for(settings: &Value, subject: Subject, uid: u64) -> bool {
    if !is_on(Some(settings)) {
        return false;
    }
    if !matches!(subject, Subject::Database(_)) {
        return settings["cluster_email_alerts"] == true;
    }
    let wanted = settings["bdbs_email_alerts"].as_array().into_iter().flatten();
    let uid = uid.to_string();
    wanted
        .filter_map(Value::as_str)
        .any(|wanted| wanted == "all" || wanted == uid)
}

#[cfg(test)]
mod tests {
    use pilothouse_model::{DatabaseId, HostId};
    use serde_json::json;

    use super::*;

    #[test]
    fn users_are_told_of_what_they_asked_for() {
        let check = |settings: Value, database: bool, cluster: bool| {
            let told_of = |subject| asks_for(&settings, subject, 7);
            assert_eq!(told_of(Subject::Database(DatabaseId::new())), database, "{settings}");
            assert_eq!(told_of(Subject::Host(HostId::new())), cluster, "{settings}");
            assert_eq!(told_of(Subject::Installation), cluster, "{settings}");
        };
        check(json!({}), false, false);
        check(json!({"email_alerts": true}), false, false);
        check(
            json!({"email_alerts": false, "bdbs_email_alerts": ["all"], "cluster_email_alerts": true}),
            false,
            false,
        );
        check(json!({"email_alerts": true, "bdbs_email_alerts": ["all"]}), true, false);
        check(
            json!({"email_alerts": true, "bdbs_email_alerts": ["1", "7"]}),
            true,
            false,
        );
        check(json!({"email_alerts": true, "bdbs_email_alerts": ["77"]}), false, false);
        check(json!({"email_alerts": true, "cluster_email_alerts": true}), false, true);
    }
}

//! DNS suffixes: the name of the cluster, and the same for addresses that are reached only from inside.

use serde_json::{Value, json};

use crate::app::App;
use crate::call::{Answer, Call, ok};
use crate::error::Failure;

pub(crate) async fn list(app: App, _call: Call) -> Answer {
    Ok(ok(&all(&app)))
}

pub(crate) async fn get(app: App, call: Call) -> Answer {
    let name = call.text("name");
    match all(&app).into_iter().find(|suffix| suffix["name"] == name) {
        Some(suffix) => Ok(ok(&suffix)),
        None => Err(not_exist()),
    }
}

pub(crate) async fn delete(app: App, call: Call) -> Answer {
    let name = call.text("name");
    if all(&app).iter().any(|suffix| suffix["name"] == name) {
        return Err(Failure::forbidden(
            "forbidden",
            "the suffixes of the cluster cannot be removed",
        ));
    }
    Err(not_exist())
}

fn all(app: &App) -> [Value; 2] {
    let name = app.cluster_name();
    let suffix = |name: String, default: bool, internal: bool| json!({"name": name, "default": default, "internal": internal, "mdns": false, "slaves": [], "use_aaaa_ns": false});
    [
        suffix(name.clone(), true, false),
        suffix(format!("internal.{name}"), false, true),
    ]
}

fn not_exist() -> Failure {
    Failure::not_found("suffix_not_exist", "there is no such suffix")
}

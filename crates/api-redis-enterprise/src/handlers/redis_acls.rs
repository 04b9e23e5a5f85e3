//! Redis ACLs: named rights inside databases.

use std::sync::Arc;

use pilothouse_control::{AclRuleChange, ControlError, DocumentWrite, NewAclRule};
use pilothouse_model::{AclRule, Subject};

use crate::app::App;
use crate::call::{Answer, Call, ok, ok_empty};
use crate::error::Failure;
use crate::wire::role::{AclExtras, AclObject, AclRequest};
use crate::{documents, ids};

/// Document of a rule: what is only stored and shown.
const DOCUMENT: &str = "redis-acl";

pub(crate) async fn list(app: App, _call: Call) -> Answer {
    let rules: Vec<AclObject> = app
        .control()
        .acl_rules()
        .iter()
        .map(|rule| describe(&app, rule))
        .collect();
    Ok(ok(&rules))
}

pub(crate) async fn get(app: App, call: Call) -> Answer {
    Ok(ok(&describe(&app, &*find(&app, &call)?)))
}

pub(crate) async fn create(app: App, call: Call) -> Answer {
    let new = new_rule(&call)?;
    if call.dry_run() {
        app.control().check_new_acl_rule(&new)?;
        return Ok(ok(&serde_json::json!({"name": new.name, "acl": new.rule})));
    }
    let rule = app.control().create_acl_rule(&call.caller, new).await?;
    Ok(ok(&describe(&app, &rule)))
}

pub(crate) async fn validate(app: App, call: Call) -> Answer {
    let new = new_rule(&call)?;
    app.control().check_new_acl_rule(&new)?;
    Ok(ok(&serde_json::json!({"name": new.name, "acl": new.rule})))
}

pub(crate) async fn update(app: App, call: Call) -> Answer {
    let rule = find(&app, &call)?;
    let request: AclRequest = call.body_as()?;
    let documents = changed_document(&app, &rule, &request)?;
    let change = AclRuleChange {
        name: request.name.filter(|name| *name != rule.name),
        rule: request.acl.filter(|text| *text != rule.rule),
        documents,
    };
    if change.name.is_none() && change.rule.is_none() && change.documents.is_empty() {
        return Ok(ok(&describe(&app, &rule)));
    }
    if call.dry_run() {
        if let Some(text) = &change.rule {
            app.control().validate_acl_rule(text)?;
        }
        let mut shown = describe(&app, &rule);
        shown.name = change.name.unwrap_or(shown.name);
        shown.acl = change.rule.unwrap_or(shown.acl);
        return Ok(ok(&shown));
    }
    let rule = app
        .control()
        .update_acl_rule(&call.caller, rule.id, change)
        .await
        .map_err(read_only)?;
    Ok(ok(&describe(&app, &rule)))
}

pub(crate) async fn delete(app: App, call: Call) -> Answer {
    let rule = find(&app, &call)?;
    app.control()
        .delete_acl_rule(&call.caller, rule.id)
        .await
        .map_err(|error| match error {
            ControlError::Conflict(why) => Failure::not_acceptable("redis_acl_in_use", why),
            other => read_only(other),
        })?;
    Ok(ok_empty())
}

fn read_only(error: ControlError) -> Failure {
    match error {
        ControlError::Forbidden(why) => Failure::conflict("redis_acl_read_only", why),
        other => other.into(),
    }
}

fn new_rule(call: &Call) -> Result<NewAclRule, Failure> {
    let request: AclRequest = call.body_as()?;
    let missing = |field: &str| Failure::bad_request("missing_field", format!("{field} is missing"));
    let extras = extras(&request);
    let documents = if extras == AclExtras::default() {
        Vec::new()
    } else {
        vec![document(&extras)?]
    };
    Ok(NewAclRule {
        name: request.name.ok_or_else(|| missing("name"))?,
        rule: request.acl.ok_or_else(|| missing("acl"))?,
        documents,
    })
}

fn extras(request: &AclRequest) -> AclExtras {
    AclExtras {
        min_version: request.min_version.clone(),
        max_version: request.max_version.clone(),
        account_id: request.account_id,
    }
}

/// The document with what a request changes of it; empty when it changes nothing.
fn changed_document(app: &App, rule: &AclRule, request: &AclRequest) -> Result<Vec<DocumentWrite>, Failure> {
    let current = stored_extras(app, rule);
    let wanted = extras(request);
    let merged = AclExtras {
        min_version: wanted.min_version.or_else(|| current.min_version.clone()),
        max_version: wanted.max_version.or_else(|| current.max_version.clone()),
        account_id: wanted.account_id.or(current.account_id),
    };
    if merged == current {
        Ok(Vec::new())
    } else {
        Ok(vec![document(&merged)?])
    }
}

fn document(extras: &AclExtras) -> Result<DocumentWrite, Failure> {
    let body = serde_json::to_value(extras).map_err(Failure::internal)?;
    Ok(DocumentWrite {
        kind: DOCUMENT,
        version: documents::VERSION,
        body,
    })
}

fn stored_extras(app: &App, rule: &AclRule) -> AclExtras {
    let document = documents::read(app, Subject::AclRule(rule.id), DOCUMENT);
    document
        .and_then(|body| serde_json::from_value(body).ok())
        .unwrap_or_default()
}

fn find(app: &App, call: &Call) -> Result<Arc<AclRule>, Failure> {
    let id = ids::acl_rule(app.control(), call.uid("uid")?);
    let rule = id.and_then(|id| app.control().acl_rule(id));
    rule.ok_or_else(|| Failure::not_found("redis_acl_not_exist", "there is no such Redis ACL"))
}

fn describe(app: &App, rule: &AclRule) -> AclObject {
    AclObject {
        uid: app.uid(Subject::AclRule(rule.id)),
        name: rule.name.clone(),
        acl: rule.rule.clone(),
        extras: stored_extras(app, rule),
    }
}

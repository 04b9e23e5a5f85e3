//! Plans and Essentials subscriptions (specification §12); their databases are answered for with those of Pro subscriptions.

use pilothouse_api::StatusCode;
use serde_json::{Value, json};

use super::subscriptions::find;
use super::{ACCEPTED, content, ok, submit};
use crate::app::App;
use crate::call::{Answer, Call, Family, typed};
use crate::error::Failure;
use crate::plans::Plan;
use crate::processing::view::{Subscription, subscriptions};
use crate::translate::show_fixed as show;
use crate::wire::fixed::FixedSubscriptionRequest;

pub(crate) async fn plans(app: App, call: Call) -> Answer {
    let wanted = call.request.query.get("provider");
    if wanted.is_some_and(|wanted| !["AWS", "GCP", "AZURE"].contains(&wanted)) {
        return Err(Failure::bad_request("provider is AWS, GCP or AZURE"));
    }
    let flex = call.request.query.get("redisFlex") == Some("true");
    let plans = app.plans().plans().iter().filter(|_| !flex);
    let shown = plans.filter(|plan| wanted.is_none_or(|wanted| wanted == plan.provider.as_str()));
    listed(&call, shown, "/fixed/plans")
}

pub(crate) async fn plan(app: App, call: Call) -> Answer {
    let number = call.number("plan")?;
    let plan = app.plans().plan(number);
    let plan = plan.ok_or_else(|| Failure::not_found(format!("Plan {number} not found")))?;
    Ok(ok(&show::plan(plan, call.links(&format!("/fixed/plans/{number}")))))
}

/// Plans that a subscription can change to.
pub(crate) async fn plans_of_subscription(app: App, call: Call) -> Answer {
    let found = find(&app, &call)?;
    let present = found.fixed.as_ref().map(|fixed| &fixed.plan);
    let like = |plan: &&Plan| {
        present.is_some_and(|present| plan.provider == present.provider && plan.region == present.region)
    };
    let path = format!("/fixed/plans/subscriptions/{}", found.number);
    listed(&call, app.plans().plans().iter().filter(like), &path)
}

fn listed<'p>(call: &Call, plans: impl Iterator<Item = &'p Plan>, path: &str) -> Answer {
    let shown: Vec<Value> = plans.map(|plan| show::plan(plan, json!([]))).collect();
    Ok(ok(&json!({ "plans": shown, "links": call.links(path) })))
}

pub(crate) async fn list(app: App, call: Call) -> Answer {
    let found = subscriptions(&app, &call.caller);
    let own = found.iter().filter(|found| found.family() == Family::Essentials);
    let shown: Vec<Value> = own.filter_map(|found| object(&call, found)).collect();
    Ok(ok(&json!({
        "accountId": call.account.number,
        "subscriptions": shown,
        "links": call.links("/fixed/subscriptions"),
    })))
}

pub(crate) async fn get(app: App, call: Call) -> Answer {
    let found = find(&app, &call)?;
    let unknown = || Failure::not_found(format!("Subscription {} not found", found.number));
    object(&call, &found).map(|object| ok(&object)).ok_or_else(unknown)
}

pub(crate) async fn create(app: App, call: Call) -> Answer {
    let body = call.body()?;
    let _: FixedSubscriptionRequest = typed(body.clone())?;
    let content = content(&call, None, None, Value::Object(body));
    submit(&app, &call, ACCEPTED, "fixedSubscriptionCreateRequest", content).await
}

pub(crate) async fn update(app: App, call: Call) -> Answer {
    let number = call.number("sid")?;
    let body = call.body()?;
    let _: FixedSubscriptionRequest = typed(body.clone())?;
    let content = content(&call, Some(number), None, Value::Object(body));
    submit(&app, &call, ACCEPTED, "fixedSubscriptionUpdateRequest", content).await
}

pub(crate) async fn delete(app: App, call: Call) -> Answer {
    let content = content(&call, Some(call.number("sid")?), None, json!({}));
    submit(&app, &call, StatusCode::OK, "fixedSubscriptionDeleteRequest", content).await
}

fn object(call: &Call, found: &Subscription) -> Option<Value> {
    let document = found.fixed.as_ref()?;
    let sum = show::Sum {
        number: found.number,
        name: &found.name,
        status: found.state.as_str(),
        database: found.databases.first().map(show::status),
        created: found.created.map(|at| at.to_rfc3339_seconds()),
        links: call.links(&format!("/fixed/subscriptions/{}", found.number)),
    };
    Some(show::subscription(&sum, document))
}

//! What belongs to the account as a whole (specification §7, §8).

use serde_json::{Value, json};

use super::ok;
use crate::app::App;
use crate::call::{Answer, Call};
use crate::error::Failure;
use crate::translate::subscription::{PAYMENT_METHOD, REGIONS};
use crate::translate::time;
use crate::wire::database::DataPersistence;

pub(crate) async fn get(_app: App, call: Call) -> Answer {
    let account = &call.account;
    let at = time::millis(account.created_at);
    let sources: Vec<String> = call.key.sources.iter().map(ToString::to_string).collect();
    Ok(ok(&json!({
        "account": {
            "id": account.number,
            "name": account.name,
            "createdTimestamp": at,
            "updatedTimestamp": at,
            "key": {
                "name": call.key.name,
                "accountId": account.number,
                "accountName": account.name,
                "allowedSourceIps": if sources.is_empty() { vec!["0.0.0.0/0".to_owned()] } else { sources },
                "owner": { "name": call.key.name, "email": format!("{}@{}.invalid", call.key.name, account.name) },
                "httpSourceIp": call.request.peer.ip().to_string(),
            },
        },
        "links": call.links("/"),
    })))
}

pub(crate) async fn payment_methods(_app: App, call: Call) -> Answer {
    Ok(ok(&json!({
        "accountId": call.account.number,
        "paymentMethods": [{
            "id": PAYMENT_METHOD,
            "type": "Visa",
            "creditCardEndsWith": 0,
            "nameOnCard": call.account.name,
            "expirationMonth": 12,
            "expirationYear": 2099,
            "isDefaultForShopper": true,
            "links": [],
        }],
        "links": call.links("/payment-methods"),
    })))
}

pub(crate) async fn regions(_app: App, call: Call) -> Answer {
    let wanted = call.request.query.get("provider");
    if wanted.is_some_and(|wanted| !["AWS", "GCP", "AZURE"].contains(&wanted)) {
        return Err(Failure::bad_request("provider is AWS, GCP or AZURE"));
    }
    let regions: Vec<Value> = REGIONS
        .iter()
        .zip(1..)
        .filter(|((provider, _), _)| wanted.is_none_or(|wanted| wanted == *provider))
        .map(|((provider, name), id)| json!({ "id": id, "name": name, "provider": provider }))
        .collect();
    Ok(ok(&json!({ "regions": regions, "links": call.links("/regions") })))
}

pub(crate) async fn modules(_app: App, call: Call) -> Answer {
    Ok(ok(&json!({ "modules": [], "links": call.links("/database-modules") })))
}

pub(crate) async fn persistence(_app: App, call: Call) -> Answer {
    let describe = |option: &DataPersistence| match option {
        DataPersistence::None => "data is not kept on disk",
        DataPersistence::AofEverySecond => "every write is logged, and the log reaches the disk every second",
        DataPersistence::AofEveryWrite => "every write is logged, and the log reaches the disk before the answer",
        DataPersistence::SnapshotEveryHour => "a snapshot every hour",
        DataPersistence::SnapshotEvery6Hours => "a snapshot every 6 hours",
        DataPersistence::SnapshotEvery12Hours => "a snapshot every 12 hours",
    };
    let options: Vec<Value> = DataPersistence::ALL
        .iter()
        .map(|option| json!({ "name": option.as_str(), "description": describe(option) }))
        .collect();
    Ok(ok(
        &json!({ "dataPersistence": options, "links": call.links("/data-persistence") }),
    ))
}

pub(crate) async fn query_performance_factors(_app: App, call: Call) -> Answer {
    Ok(ok(
        &json!({ "queryPerformanceFactors": [], "links": call.links("/query-performance-factors") }),
    ))
}

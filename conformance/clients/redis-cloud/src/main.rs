//! The typed client of the service that its command line tool is made of, unchanged. What cannot be decoded into its types is an error.
//!
//! `conformance-redis-cloud STEP [ARGUMENT]…` with `BASE_URL`, `API_KEY` and `SECRET_KEY` in the environment does one step of a flow and
//! prints what came of it as JSON:
//!
//! - `make` reads what an account can read, makes a subscription and two databases, and shows them;
//! - `backup SUBSCRIPTION DATABASE PLACE` has a database backed up and waits for it;
//! - `import SUBSCRIPTION DATABASE URI` imports an object of a bucket;
//! - `remove SUBSCRIPTION DATABASE…` removes the databases and the subscription.

use std::error::Error;
use std::time::{Duration, Instant};

use redis_cloud::flexible::databases::{Database, DatabaseBackupRequest, DatabaseImportRequest};
use redis_cloud::types::{TaskStateUpdate, TaskStatus};
use redis_cloud::{CloudClient, CloudError};
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
    let client = CloudClient::builder()
        .base_url(variable("BASE_URL")?)
        .api_key(variable("API_KEY")?)
        .api_secret(variable("SECRET_KEY")?)
        .build()?;
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let shown = match words.as_slice() {
        ["make"] => make(&client).await?,
        ["backup", subscription, database, place] => {
            back_up(&client, subscription.parse()?, database.parse()?, place).await?
        }
        ["import", subscription, database, uri] => load(&client, subscription.parse()?, database.parse()?, uri).await?,
        ["remove", subscription, databases @ ..] => remove(&client, subscription.parse()?, databases).await?,
        other => return Err(format!("no such step: {other:?}").into()),
    };
    println!("{shown}");
    Ok(())
}

async fn make(client: &CloudClient) -> Result<Value> {
    let account = client.account().get_current_account().await?;
    client.account().get_account_payment_methods().await?;
    client.account().get_supported_regions(None).await?;
    client.account().get_supported_database_modules().await?;
    client.account().get_data_persistence_options().await?;
    let request = serde_json::from_value(json!({
        "name": "typed",
        "paymentMethodId": 1,
        "cloudProviders": [{
            "provider": "AWS",
            "cloudAccountId": 1,
            "regions": [{ "region": "us-east-1", "networking": { "deploymentCIDR": "10.0.0.0/24" } }],
        }],
        "databases": [{ "name": "source", "protocol": "redis", "datasetSizeInGb": 0.1, "replication": true }],
    }))?;
    let task = client.subscriptions().create_subscription(&request).await?;
    let subscription = made(client, task).await?;
    until("the subscription is active", async || {
        let seen = client.subscriptions().get_subscription_by_id(subscription).await?;
        Ok((seen.status.as_deref() == Some("active")).then_some(()))
    })
    .await?;
    let listed = client.databases().list(subscription).await?;
    let source = listed.first().ok_or("no database is listed")?.database_id;
    let request = serde_json::from_value(json!({ "name": "target", "datasetSizeInGb": 0.1 }))?;
    let task = client.databases().create_database(subscription, &request).await?;
    let target = made(client, task).await?;
    match client.databases().get(subscription, 4711).await {
        Err(CloudError::NotFound { .. }) => {}
        other => return Err(format!("a database that is not there: {other:?}").into()),
    }
    Ok(json!({
        "account": account.account.and_then(|account| account.id),
        "subscription": subscription,
        "source": show(&active(client, subscription, source).await?),
        "target": show(&active(client, subscription, target).await?),
    }))
}

async fn back_up(client: &CloudClient, subscription: i32, database: i32, place: &str) -> Result<Value> {
    let request = DatabaseBackupRequest::builder().adhoc_backup_path(place).build();
    let task = client
        .databases()
        .backup_database(subscription, database, &request)
        .await?;
    ended(client, task).await?;
    until("the backup ends", async || {
        let asked = client
            .databases()
            .get_database_backup_status(subscription, database, None)
            .await?;
        finished(client, asked).await
    })
    .await
}

async fn load(client: &CloudClient, subscription: i32, database: i32, uri: &str) -> Result<Value> {
    let request = DatabaseImportRequest::builder()
        .source_type("aws-s3")
        .import_from_uri(vec![uri.to_owned()])
        .build();
    let task = client
        .databases()
        .import_database(subscription, database, &request)
        .await?;
    ended(client, task).await?;
    until("the import ends", async || {
        let asked = client
            .databases()
            .get_database_import_status(subscription, database)
            .await?;
        finished(client, asked).await
    })
    .await
}

async fn remove(client: &CloudClient, subscription: i32, databases: &[&str]) -> Result<Value> {
    for database in databases {
        let task = client
            .databases()
            .delete_database_by_id(subscription, database.parse()?)
            .await?;
        ended(client, task).await?;
    }
    until("the databases are gone", async || {
        let left = client.databases().list(subscription).await?;
        Ok(left.is_empty().then_some(()))
    })
    .await?;
    let task = client.subscriptions().delete_subscription_by_id(subscription).await?;
    ended(client, task).await?;
    Ok(json!({}))
}

/// The resource of a task that tells how a backup or an import stands, once that is over.
async fn finished(client: &CloudClient, task: TaskStateUpdate) -> Result<Option<Value>> {
    let answer = ended(client, task).await?;
    let resource = answer.response.and_then(|response| response.resource).unwrap_or_default();
    let over = resource.get("status").is_some_and(|status| status == "success" || status == "failed");
    Ok(over.then(|| json!(resource)))
}

async fn active(client: &CloudClient, subscription: i32, database: i32) -> Result<Database> {
    until("the database is active", async || {
        let seen = client.databases().get(subscription, database).await?;
        Ok((seen.status.as_deref() == Some("active")).then_some(seen))
    })
    .await
}

fn show(database: &Database) -> Value {
    json!({
        "id": database.database_id,
        "endpoint": database.public_endpoint,
        "password": database.security.as_ref().and_then(|security| security.password.clone()),
        "replication": database.replication,
    })
}

async fn made(client: &CloudClient, task: TaskStateUpdate) -> Result<i32> {
    let response = ended(client, task).await?.response;
    response
        .and_then(|response| response.resource_id)
        .ok_or_else(|| "the task names no resource".into())
}

/// The task at its end, which must be a good one.
async fn ended(client: &CloudClient, task: TaskStateUpdate) -> Result<TaskStateUpdate> {
    let id = task.task_id.ok_or("a task has an id")?;
    until("the task ends", async || {
        let seen = client.tasks().get_task_by_id(id.clone()).await?;
        match seen.status {
            Some(TaskStatus::ProcessingCompleted) => Ok(Some(seen)),
            Some(TaskStatus::Received | TaskStatus::ProcessingInProgress) => Ok(None),
            _ => Err(format!("{seen:?}").into()),
        }
    })
    .await
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let give_up = Instant::now() + PATIENCE;
    while Instant::now() < give_up {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(format!("not in time: {what}").into())
}

//! Cloud accounts: recorded, and named by subscriptions (specification §8).

use pilothouse_control::Processed;
use pilothouse_model::Subject;
use serde_json::json;

use super::view::subscriptions;
use super::{Outcome, Task};
use crate::documents::{self, CloudAccount, CloudAccounts};
use crate::error::TaskError;
use crate::translate::subscription::CLOUD_ACCOUNT;
use crate::wire::account::CloudAccountRequest;

/// Cloud accounts of an account: all of them are one document.
const ACCOUNTS_MAX: usize = 100;

fn known(task: &Task<'_>) -> CloudAccounts {
    documents::cloud_accounts(task.app.control(), task.pending.operation.tenant)
}

fn given(text: Option<String>, name: &str) -> Result<String, TaskError> {
    let text = text.filter(|text| !text.trim().is_empty());
    text.ok_or_else(|| TaskError::new("BAD_REQUEST", format!("{name} is missing")))
}

/// What both requests must say of the account at the provider.
fn check_logins(request: &CloudAccountRequest) -> Result<(), TaskError> {
    given(request.access_secret_key.clone(), "accessSecretKey")?;
    given(request.console_username.clone(), "consoleUsername")?;
    given(request.console_password.clone(), "consolePassword")?;
    Ok(())
}

fn check_unique(known: &CloudAccounts, account: &CloudAccount) -> Result<(), TaskError> {
    let mut others = known.accounts.iter().filter(|other| other.id != account.id);
    match others.find(|other| other.name == account.name || other.access_key_id == account.access_key_id) {
        Some(other) if other.name == account.name => Err(TaskError::new(
            "CLOUD_ACCOUNT_NAME_EXISTS",
            "there is a cloud account of that name already",
        )),
        Some(_) => Err(TaskError::new(
            "CLOUD_ACCOUNT_ACCESS_KEY_EXISTS",
            "there is a cloud account with that access key already",
        )),
        None => Ok(()),
    }
}

async fn keep(task: &Task<'_>, known: &CloudAccounts, number: i64) -> Outcome {
    let caller = task.settling(json!({ "resourceId": number }));
    let subject = Subject::Tenant(task.pending.operation.tenant);
    let control = task.app.control();
    control.put_document(&caller, subject, known.write()?, None).await?;
    Ok(Processed::Settled)
}

pub(super) async fn create(task: &Task<'_>) -> Outcome {
    let request: CloudAccountRequest = task.typed()?;
    check_logins(&request)?;
    let mut known = known(task);
    let account = CloudAccount {
        id: known.next,
        name: given(request.name, "name")?,
        provider: request.provider.unwrap_or_default(),
        access_key_id: given(request.access_key_id, "accessKeyId")?,
        sign_in_login_url: Some(given(request.sign_in_login_url, "signInLoginUrl")?),
    };
    check_unique(&known, &account)?;
    if known.accounts.len() >= ACCOUNTS_MAX {
        let why = format!("an account has at most {ACCOUNTS_MAX} cloud accounts");
        return Err(TaskError::new("CLOUD_ACCOUNT_ALLOCATION_FAILURE", why));
    }
    let number = account.id;
    known.next += 1;
    known.accounts.push(account);
    keep(task, &known, number).await
}

/// The place of the account that the task is about, which is not our own machines.
fn own(task: &Task<'_>, known: &CloudAccounts) -> Result<usize, TaskError> {
    let number = task.id.and_then(|id| i64::try_from(id).ok()).unwrap_or(0);
    if number == CLOUD_ACCOUNT {
        return Err(TaskError::new(
            "CLOUD_ACCOUNT_USED",
            "this cloud account is our own machines",
        ));
    }
    let place = known.accounts.iter().position(|account| account.id == number);
    place.ok_or_else(|| TaskError::new("CLOUD_ACCOUNT_NOT_FOUND", "there is no such cloud account"))
}

pub(super) async fn update(task: &Task<'_>) -> Outcome {
    let request: CloudAccountRequest = task.typed()?;
    let mut known = known(task);
    let place = own(task, &known)?;
    check_logins(&request)?;
    let mut account = known.accounts.remove(place);
    if let Some(name) = request.name.filter(|name| !name.trim().is_empty()) {
        account.name = name;
    }
    account.access_key_id = given(request.access_key_id, "accessKeyId")?;
    if request.sign_in_login_url.is_some() {
        account.sign_in_login_url = request.sign_in_login_url;
    }
    check_unique(&known, &account)?;
    let number = account.id;
    known.accounts.insert(place, account);
    keep(task, &known, number).await
}

pub(super) async fn delete(task: &Task<'_>) -> Outcome {
    let mut known = known(task);
    let place = own(task, &known)?;
    let account = known.accounts.remove(place);
    let all = subscriptions(task.app, &task.caller());
    let mut documents = all.iter().filter_map(|found| found.document.as_ref());
    if documents.any(|document| document.cloud_account_id == account.id) {
        let why = "a subscription uses this cloud account";
        return Err(TaskError::new("CLOUD_ACCOUNT_USED", why));
    }
    keep(task, &known, account.id).await
}

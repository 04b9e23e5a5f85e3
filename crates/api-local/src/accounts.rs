//! Accounts of APIs whose clients show a pair of keys.

use axum::Json;
use axum::extract::State;
use pilothouse_control::{ControlError, Field, KeyAccount, KeyRole, NewKeyAccount, NewSecretKey};
use pilothouse_model::{Cidr, Dialect, TenantName};

use crate::auth::Admitted;
use crate::error::Failure;
use crate::extract::{Content, Key};
use crate::handlers::App;
use crate::wire::{AccountRequest, AccountView, IssuedKeyView, IssuedView, KeyRequest};

/// `GET /accounts/redis-cloud`
pub(crate) async fn list(State(app): State<App>, Admitted(_): Admitted) -> Result<Json<Vec<AccountView>>, Failure> {
    let accounts = app.control().key_accounts(Dialect::RedisCloud);
    Ok(Json(accounts.iter().map(|account| view(&app, account)).collect()))
}

/// `POST /accounts/redis-cloud`
pub(crate) async fn create(
    State(app): State<App>,
    Admitted(_): Admitted,
    Content(request): Content<AccountRequest>,
) -> Result<Json<IssuedView>, Failure> {
    let tenant = request.tenant.map(TenantName::parse).transpose();
    let tenant = tenant.map_err(|error| ControlError::invalid(Field::Name, error.to_string()))?;
    let new = NewKeyAccount {
        name: request.name,
        tenant,
        access_key: None,
        secret_key: None,
    };
    let control = app.control().clone();
    let issued = app
        .detached(async move { Ok(control.create_key_account(Dialect::RedisCloud, new).await?) })
        .await?;
    Ok(Json(IssuedView {
        account: view(&app, &issued.account),
        access_key: issued.access_key.expose().to_owned(),
        secret_key: issued.secret_key.expose().to_owned(),
    }))
}

/// `POST /accounts/redis-cloud/{account}/keys`
pub(crate) async fn create_key(
    State(app): State<App>,
    Admitted(_): Admitted,
    Key(account): Key,
    Content(request): Content<KeyRequest>,
) -> Result<Json<IssuedKeyView>, Failure> {
    let sources: Result<Vec<Cidr>, _> = request.sources.iter().map(|text| text.parse()).collect();
    let new = NewSecretKey {
        name: request.name.clone(),
        role: role(&request.role)?,
        sources: sources.map_err(|error| Failure::invalid("sources", error.to_string()))?,
    };
    let control = app.control().clone();
    let made = app.detached(async move { Ok(control.create_secret_key(Dialect::RedisCloud, &account, new).await?) });
    let (account, secret) = made.await?;
    Ok(Json(IssuedKeyView {
        account: view(&app, &account),
        name: request.name,
        secret_key: secret.expose().to_owned(),
    }))
}

fn role(word: &str) -> Result<KeyRole, Failure> {
    match word {
        "owner" => Ok(KeyRole::Owner),
        "viewer" => Ok(KeyRole::Viewer),
        "logs-viewer" => Ok(KeyRole::LogsViewer),
        _ => Err(Failure::invalid("role", "is owner, viewer or logs-viewer".to_owned())),
    }
}

/// `DELETE /accounts/redis-cloud/{account}/keys/{key}`
pub(crate) async fn delete_key(
    State(app): State<App>,
    Admitted(_): Admitted,
    Key((account, key)): Key<(String, String)>,
) -> Result<Json<AccountView>, Failure> {
    let control = app.control().clone();
    let left = app.detached(async move { Ok(control.delete_secret_key(Dialect::RedisCloud, &account, &key).await?) });
    Ok(Json(view(&app, &left.await?)))
}

fn view(app: &App, account: &KeyAccount) -> AccountView {
    AccountView {
        number: account.number,
        name: account.name.clone(),
        tenant: app.control().tenant_name(account.tenant),
        keys: account.keys.iter().map(|key| key.name.clone()).collect(),
    }
}

//! Accounts of APIs whose clients show a pair of keys.

use axum::Json;
use axum::extract::State;
use pilothouse_control::{ControlError, Field, KeyAccount, NewKeyAccount};
use pilothouse_model::{Dialect, TenantName};

use crate::auth::Admitted;
use crate::error::Failure;
use crate::extract::Content;
use crate::handlers::App;
use crate::wire::{AccountRequest, AccountView, IssuedView};

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

fn view(app: &App, account: &KeyAccount) -> AccountView {
    AccountView {
        number: account.number,
        name: account.name.clone(),
        tenant: app.control().tenant_name(account.tenant),
        keys: account.keys.iter().map(|key| key.name.clone()).collect(),
    }
}

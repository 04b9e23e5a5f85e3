//! Tokens: a login exchanged for a signed text that is good for a while.

use pilothouse_model::Secret;

use crate::app::App;
use crate::auth::{self, Principal};
use crate::call::{Answer, Call, ok};
use crate::error::Failure;
use crate::tokens::{DEFAULT_TTL_SECONDS, MAX_TTL_SECONDS};
use crate::wire::user::{AuthorizeRequest, TokenAnswer};

pub(crate) async fn authorize(app: App, call: Call) -> Answer {
    let request: AuthorizeRequest = call.body_as()?;
    let principal = match (&request.username, &request.password) {
        // The older form, with credentials in the body.
        (Some(username), Some(password)) => auth::log_in(&app, username, &Secret::new(password.as_str())).await?,
        _ => auth::authenticate(&app, &call.request).await?,
    };
    issue(&app, &principal, request.ttl).await
}

pub(crate) async fn refresh(app: App, call: Call) -> Answer {
    let request: AuthorizeRequest = call.body_as()?;
    issue(&app, &call.principal, request.ttl).await
}

async fn issue(app: &App, principal: &Principal, ttl: Option<i64>) -> Answer {
    let ttl = ttl.unwrap_or(DEFAULT_TTL_SECONDS);
    if !(1..=MAX_TTL_SECONDS).contains(&ttl) {
        return Err(Failure::bad_request(
            "bad_request",
            format!("ttl must be 1 to {MAX_TTL_SECONDS} seconds"),
        ));
    }
    let token = app.tokens().issue(app, principal, ttl).await?;
    Ok(ok(&TokenAnswer {
        access_token: token.clone(),
        jwt: token,
    }))
}

//! Passwords of the login without a name: several may be valid at once.

use pilothouse_control::DatabaseView;
use pilothouse_model::{DatabaseSpec, Sealed, Secret};
use serde_json::Value;

use crate::app::App;
use crate::call::{Answer, Call, ok_empty};
use crate::error::Failure;
use crate::handlers::bdbs;

/// The longest password that is taken, and how many at once.
const PASSWORD_MAX: usize = 1024;
const PASSWORDS_MAX: usize = 32;

/// Exactly this one from now on.
pub(crate) async fn replace(app: App, call: Call) -> Answer {
    change(&app, &call, |app, passwords, password| {
        let kept = position(app, passwords, password)?.map(|index| passwords[index].clone());
        *passwords = vec![kept.unwrap_or_else(|| app.control().seal(password))];
        Ok(())
    })
    .await
}

/// This one as well.
pub(crate) async fn add(app: App, call: Call) -> Answer {
    change(&app, &call, |app, passwords, password| {
        if position(app, passwords, password)?.is_none() {
            if passwords.len() >= PASSWORDS_MAX {
                let why = format!("a database has at most {PASSWORDS_MAX} passwords");
                return Err(Failure::not_acceptable("invalid_param", why));
            }
            passwords.push(app.control().seal(password));
        }
        Ok(())
    })
    .await
}

/// This one no longer. As in the product, a database whose last password goes needs none.
pub(crate) async fn remove(app: App, call: Call) -> Answer {
    change(&app, &call, |app, passwords, password| {
        let index = position(app, passwords, password)?;
        let index =
            index.ok_or_else(|| Failure::not_acceptable("invalid_param", "the database has no such password"))?;
        passwords.remove(index);
        Ok(())
    })
    .await
}

async fn change(
    app: &App,
    call: &Call,
    change: impl FnOnce(&App, &mut Vec<Sealed>, &Secret) -> Result<(), Failure>,
) -> Answer {
    let view: DatabaseView = bdbs::find(app, call)?;
    let password = password(call)?;
    let mut spec: DatabaseSpec = view.database.spec.clone();
    change(app, &mut spec.access.default_passwords, &password)?;
    let accepted = bdbs::change_spec(app, call, &view, spec).await?;
    // Whoever got 200 may log in with it at once.
    if let Some(operation) = &accepted.operation {
        app.control().wait_operation(operation.id, bdbs::EFFECT_TIMEOUT).await;
    }
    Ok(ok_empty())
}

fn password(call: &Call) -> Result<Secret, Failure> {
    let body = call.body()?;
    match body.get("password") {
        Some(Value::String(password)) if password.len() > PASSWORD_MAX => Err(Failure::invalid_schema(format!(
            "password must have at most {PASSWORD_MAX} bytes"
        ))),
        Some(Value::String(password)) if !password.is_empty() => Ok(Secret::new(password.as_str())),
        None | Some(Value::Null | Value::String(_)) => {
            Err(Failure::not_acceptable("invalid_param", "password is required"))
        }
        Some(_) => Err(Failure::invalid_schema("password must be a text")),
    }
}

fn position(app: &App, passwords: &[Sealed], wanted: &Secret) -> Result<Option<usize>, Failure> {
    for (index, sealed) in passwords.iter().enumerate() {
        if app.control().open(sealed)? == *wanted {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

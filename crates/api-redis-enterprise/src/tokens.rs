//! Tokens: what a login can be exchanged for. Signed with a key of this installation; a restart does not invalidate them, and every
//! use looks the user up again, so that a deleted or locked user's tokens end with the user.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use pilothouse_control::Control;
use pilothouse_model::{Dialect, Sealed, Secret, Subject, User, UserId, UserStatus};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app::App;
use crate::auth::{Principal, own_caller};
use crate::error::Failure;

/// Life of a token that asks for none, seconds.
pub(crate) const DEFAULT_TTL_SECONDS: i64 = 300;
/// Longest life of a token, seconds.
pub(crate) const MAX_TTL_SECONDS: i64 = 86_400;

const DOCUMENT: &str = "token-key";
/// Stands for the account of the configuration, which has no id.
const CONFIGURED: &str = "configured";

/// For whom a token was made.
pub(crate) enum Holder {
    /// A user, who may log in.
    User(Arc<User>),
    /// The account of the configuration.
    Configured,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    /// The user's id, or [`CONFIGURED`].
    sub: String,
    /// When it was made, Unix seconds.
    iat: i64,
    /// When it ends, Unix seconds.
    exp: i64,
}

/// Makes and reads tokens.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    /// Read from its document once.
    key: std::sync::OnceLock<Secret>,
}

impl Tokens {
    /// A token for whoever has logged in.
    pub(crate) async fn issue(&self, app: &App, principal: &Principal, ttl_seconds: i64) -> Result<String, Failure> {
        let key = match self.key(app.control()) {
            Some(key) => key.clone(),
            None => self.make_key(app).await?,
        };
        let iat = app.control().now().as_secs();
        let sub = principal
            .user
            .as_ref()
            .map_or_else(|| CONFIGURED.to_owned(), |user| user.id.to_string());
        let claims = Claims {
            sub,
            iat,
            exp: iat + ttl_seconds,
        };
        jsonwebtoken::encode(
            &Header::default(),
            &claims,
            &EncodingKey::from_secret(key.expose().as_bytes()),
        )
        .map_err(Failure::internal)
    }

    /// For whom a token was made, if it is ours, still valid, and they still may log in.
    pub(crate) fn holder_of(&self, control: &Control, token: &str) -> Result<Holder, Failure> {
        let wrong = || Failure::unauthorized("the token is not valid");
        let key = self.key(control).ok_or_else(wrong)?;
        let mut validation = Validation::new(Algorithm::HS256);
        // Time comes from control's clock, so that a simulated one counts here too.
        validation.validate_exp = false;
        validation.set_required_spec_claims(&["exp", "sub"]);
        let decoded =
            jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_secret(key.expose().as_bytes()), &validation)
                .map_err(|_| wrong())?;
        let now = control.now();
        if decoded.claims.exp <= now.as_secs() {
            return Err(Failure::unauthorized("the token has expired"));
        }
        if decoded.claims.sub == CONFIGURED {
            return Ok(Holder::Configured);
        }
        let id: UserId = decoded.claims.sub.parse().map_err(|_| wrong())?;
        let user = control.user(id).ok_or_else(wrong)?;
        match user.status {
            UserStatus::Locked { until } if until > now => Err(wrong()),
            UserStatus::Active | UserStatus::Locked { .. } => Ok(Holder::User(user)),
        }
    }

    fn key(&self, control: &Control) -> Option<&Secret> {
        if let Some(key) = self.key.get() {
            return Some(key);
        }
        let document = control.document(Dialect::RedisEnterprise, &Subject::Installation, DOCUMENT)?;
        let key = open(control, &document.body)?;
        Some(self.key.get_or_init(|| key))
    }

    async fn make_key(&self, app: &App) -> Result<Secret, Failure> {
        let control = app.control();
        let fresh = json!({"key": control.seal(&control.generate_secret(64))});
        let change = |current: Option<&Value>| Ok(current.cloned().unwrap_or(fresh));
        let body = control
            .update_document(&own_caller(app), Subject::Installation, DOCUMENT, 1, change, None)
            .await?;
        let key = open(control, &body).ok_or_else(|| Failure::internal("the token key cannot be opened"))?;
        Ok(self.key.get_or_init(|| key).clone())
    }
}

fn open(control: &Control, body: &Value) -> Option<Secret> {
    let sealed = Sealed::deserialize(&body["key"]).ok()?;
    control.open(&sealed).ok()
}

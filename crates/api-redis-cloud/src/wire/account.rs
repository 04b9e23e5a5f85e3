//! The requests that make and change cloud accounts (specification §8). What of them is secret is read and not kept.

use serde::Deserialize;

use super::subscription::Provider;

#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CloudAccountRequest {
    pub(crate) name: Option<String>,
    pub(crate) provider: Option<Provider>,
    pub(crate) access_key_id: Option<String>,
    pub(crate) access_secret_key: Option<String>,
    pub(crate) console_username: Option<String>,
    pub(crate) console_password: Option<String>,
    pub(crate) sign_in_login_url: Option<String>,
}

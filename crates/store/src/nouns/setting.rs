//! Settings: single values of the installation that no noun owns, such as a listener changed through an API.

use serde::{Deserialize, Serialize};

/// One value, named by its key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// What it is, for instance `installation-id`.
    pub key: String,
    /// What it says.
    pub value: serde_json::Value,
}

super::plain_noun!(Setting, String, Setting, settings, |setting| setting.key.clone());

//! Accounts of APIs whose clients show a pair of keys: one key names the account, the other the holder and what the holder may do.
//!
//! An account is a view of a tenant. Keys are random and long; what is kept of them is their SHA-256.

use std::sync::Arc;

use pilothouse_model::{
    Cidr, Dialect, Document, DocumentKey, Secret, Subject, Tenant, TenantId, TenantName, Timestamp,
};
use pilothouse_store::{Transaction, Urgency, View};
use serde::{Deserialize, Serialize};

use crate::{Control, ControlError, Field, Noun};

const DOCUMENT: &str = "key-account";
const DOCUMENT_VERSION: u32 = 1;
/// Length of generated keys: 40 characters of 64 are 240 bits.
const KEY_LENGTH: usize = 40;
/// The fewest characters of a key that somebody chose.
const KEY_LENGTH_MIN: usize = 8;

/// The longest name of a secret key.
const KEY_NAME_MAX: usize = 50;
/// Secret keys of an account: all of them are one document.
const KEYS_MAX: usize = 200;

/// What the holder of a secret key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyRole {
    /// Everything in the account.
    Owner,
    /// See everything, change nothing.
    Viewer,
    /// See the logs only.
    LogsViewer,
}

/// A secret key of an account, without the key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecretKey {
    /// Its name, unique in the account.
    pub name: String,
    /// What its holder may do.
    pub role: KeyRole,
    /// From where it works; empty for anywhere.
    pub sources: Vec<Cidr>,
    /// When it was made.
    pub created_at: Timestamp,
    sha256: String,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyAccount {
    /// The tenant that it is a view of.
    pub tenant: TenantId,
    /// Its number, from 1 on.
    pub number: u32,
    /// Its name, unique within the API.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its secret keys.
    pub keys: Vec<SecretKey>,
    access_sha256: String,
}

/// A new account.
#[derive(Clone, Debug)]
pub struct NewKeyAccount {
    /// Its name.
    pub name: String,
    /// The tenant that it is a view of; `None` makes one of the same name.
    pub tenant: Option<TenantName>,
    /// The key that names the account; `None` generates one.
    pub access_key: Option<Secret>,
    /// The first secret key; `None` generates one.
    pub secret_key: Option<Secret>,
}

/// A further secret key.
#[derive(Clone, Debug)]
pub struct NewSecretKey {
    /// The name of its holder, unique in the account.
    pub name: String,
    /// What its holder may do.
    pub role: KeyRole,
    /// From where it works; empty for anywhere.
    pub sources: Vec<Cidr>,
}

/// The keys of a new account: shown once, kept nowhere.
#[derive(Clone, Debug)]
pub struct IssuedKeys {
    /// The account.
    pub account: KeyAccount,
    /// The key that names the account.
    pub access_key: Secret,
    /// The secret key of the holder `owner`.
    pub secret_key: Secret,
}

impl Control {
    /// The accounts of an API, by number.
    pub fn key_accounts(&self, dialect: Dialect) -> Vec<KeyAccount> {
        accounts(&self.store().view(), dialect)
    }

    /// The account and the holder that a pair of keys belongs to; `None` when either is unknown or they do not belong together.
    pub fn verify_keys(
        &self,
        dialect: Dialect,
        access: &Secret,
        secret: &Secret,
    ) -> Option<(Arc<KeyAccount>, SecretKey)> {
        let (access, secret) = (digest(access), digest(secret));
        let account = self
            .key_accounts(dialect)
            .into_iter()
            .find(|account| account.access_sha256 == access)?;
        let key = account.keys.iter().find(|key| key.sha256 == secret).cloned()?;
        Some((Arc::new(account), key))
    }

    /// Makes an account with one secret key, whose holder is called `owner`.
    ///
    /// # Errors
    /// [`ControlError::AlreadyExists`] when the name, the access key or the tenant is an account's already; [`ControlError::Invalid`] for
    /// a key that is too short or a name that no tenant can have.
    pub async fn create_key_account(&self, dialect: Dialect, new: NewKeyAccount) -> Result<IssuedKeys, ControlError> {
        let generated = |key: Option<Secret>| key.unwrap_or_else(|| self.generate_secret(KEY_LENGTH));
        let (access_key, secret_key) = (generated(new.access_key), generated(new.secret_key));
        if [&access_key, &secret_key]
            .iter()
            .any(|key| key.expose().len() < KEY_LENGTH_MIN)
        {
            let why = format!("a key has at least {KEY_LENGTH_MIN} characters");
            return Err(ControlError::invalid(Field::Password, why));
        }
        let tenant_name = match new.tenant {
            Some(name) => name,
            None => TenantName::parse(new.name.clone())
                .map_err(|error| ControlError::invalid(Field::Name, error.to_string()))?,
        };
        let (access_sha256, secret_sha256) = (digest(&access_key), digest(&secret_key));
        let account = KeyAccount {
            tenant: TenantId::new(),
            number: 0,
            name: new.name,
            created_at: self.now(),
            keys: vec![SecretKey {
                name: "owner".to_owned(),
                role: KeyRole::Owner,
                sources: Vec::new(),
                created_at: self.now(),
                sha256: secret_sha256,
            }],
            access_sha256,
        };
        let account = self
            .transact(Urgency::Normal, move |transaction| {
                put_account(transaction, dialect, tenant_name, account)
            })
            .await?;
        Ok(IssuedKeys {
            account,
            access_key,
            secret_key,
        })
    }
}

impl Control {
    /// Makes a further secret key of the account of that name. The key is shown once and kept nowhere.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] when there is no such account; [`ControlError::AlreadyExists`] when the name has a key;
    /// [`ControlError::Invalid`] for a name that is no word; [`ControlError::Quota`] when the account has very many.
    pub async fn create_secret_key(
        &self,
        dialect: Dialect,
        account: &str,
        new: NewSecretKey,
    ) -> Result<(KeyAccount, Secret), ControlError> {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if new.name.is_empty() || new.name.len() > KEY_NAME_MAX || !new.name.chars().all(word) {
            let why = format!("1 to {KEY_NAME_MAX} letters, digits, - and _");
            return Err(ControlError::invalid(Field::Name, why));
        }
        let secret = self.generate_secret(KEY_LENGTH);
        let key = SecretKey {
            name: new.name,
            role: new.role,
            sources: new.sources,
            created_at: self.now(),
            sha256: digest(&secret),
        };
        let account = self
            .change_key_account(dialect, account, move |account| {
                if account.keys.iter().any(|known| known.name == key.name) {
                    return Err(ControlError::AlreadyExists {
                        what: Noun::User,
                        field: "name",
                    });
                }
                if account.keys.len() >= KEYS_MAX {
                    return Err(ControlError::Quota(format!("an account has at most {KEYS_MAX} keys")));
                }
                account.keys.push(key);
                Ok(())
            })
            .await?;
        Ok((account, secret))
    }

    /// Removes a secret key of the account of that name; requests that show it are refused from then on.
    ///
    /// # Errors
    /// [`ControlError::NotFound`] when there is no such account or key; [`ControlError::Conflict`] when nobody would be left who may do
    /// everything.
    pub async fn delete_secret_key(
        &self,
        dialect: Dialect,
        account: &str,
        name: &str,
    ) -> Result<KeyAccount, ControlError> {
        self.change_key_account(dialect, account, |account| {
            let before = account.keys.len();
            account.keys.retain(|key| key.name != name);
            if account.keys.len() == before {
                return Err(ControlError::not_found(Noun::User));
            }
            if !account.keys.iter().any(|key| key.role == KeyRole::Owner) {
                let why = "the last key that may do everything cannot be removed";
                return Err(ControlError::Conflict(why.to_owned()));
            }
            Ok(())
        })
        .await
    }

    async fn change_key_account(
        &self,
        dialect: Dialect,
        name: &str,
        change: impl FnOnce(&mut KeyAccount) -> Result<(), ControlError> + Send,
    ) -> Result<KeyAccount, ControlError> {
        self.transact(Urgency::Normal, move |transaction| {
            let known = accounts(transaction.view(), dialect);
            let found = known.into_iter().find(|account| account.name == name);
            let mut account = found.ok_or(ControlError::not_found(Noun::Tenant))?;
            change(&mut account)?;
            transaction.put(Document {
                key: key_of(dialect, account.tenant),
                version: DOCUMENT_VERSION,
                body: serde_json::to_value(&account).map_err(ControlError::internal)?,
            });
            Ok(account)
        })
        .await
    }
}

/// Gives the account its number and its tenant, which is made where there is none of that name.
fn put_account(
    transaction: &mut Transaction<'_>,
    dialect: Dialect,
    tenant: TenantName,
    mut account: KeyAccount,
) -> Result<KeyAccount, ControlError> {
    let known = accounts(transaction.view(), dialect);
    let present = transaction.view().all::<Tenant>().find(|known| known.name == tenant);
    let present = present.map(|tenant| tenant.id);
    let taken = |field| ControlError::AlreadyExists {
        what: Noun::Tenant,
        field,
    };
    if known.iter().any(|other| other.name == account.name) {
        return Err(taken("name"));
    }
    if known.iter().any(|other| other.access_sha256 == account.access_sha256) {
        return Err(taken("access key"));
    }
    if known.iter().any(|other| Some(other.tenant) == present) {
        return Err(taken("tenant"));
    }
    account.number = known.iter().map(|other| other.number).max().unwrap_or(0) + 1;
    match present {
        Some(id) => account.tenant = id,
        None => transaction.put(Tenant {
            id: account.tenant,
            name: tenant,
            created_at: account.created_at,
        }),
    }
    transaction.put(Document {
        key: key_of(dialect, account.tenant),
        version: DOCUMENT_VERSION,
        body: serde_json::to_value(&account).map_err(ControlError::internal)?,
    });
    Ok(account)
}

fn key_of(dialect: Dialect, tenant: TenantId) -> DocumentKey {
    DocumentKey {
        dialect,
        subject: Subject::Tenant(tenant),
        kind: DOCUMENT.to_owned(),
    }
}

fn accounts(view: &View, dialect: Dialect) -> Vec<KeyAccount> {
    let mut found: Vec<KeyAccount> = view
        .all::<Tenant>()
        .filter_map(|tenant| view.get::<Document>(&key_of(dialect, tenant.id)))
        .filter_map(|document| serde_json::from_value(document.body.clone()).ok())
        .collect();
    found.sort_by_key(|account| account.number);
    found
}

fn digest(key: &Secret) -> String {
    pilothouse_secrets::sha256_hex(key).expose().to_owned()
}

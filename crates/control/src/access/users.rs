//! Users of the management APIs.

use std::sync::Arc;

use pilothouse_model::{ManagementRole, PasswordHash, RoleId, Secret, Subject, User, UserId, UserStatus};
use pilothouse_secrets::sha256_hex;
use pilothouse_store::{Transaction, View, WireId};

use super::user_check::check;
use super::{administrators, databases_open_to, event, keeps_an_administrator, within_reach};
use crate::{Caller, Control, ControlError, DocumentWrite, Field, Noun};

/// Most passwords that are valid at once.
const PASSWORDS_MAX: usize = 16;

/// A user to be made.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Login by e-mail; may be empty when `name` is not.
    pub email: String,
    /// Display and data-plane name; may be empty when `email` is not.
    pub name: String,
    /// What it may manage when it holds no roles.
    pub management: ManagementRole,
    /// The roles it holds.
    pub roles: Vec<RoleId>,
    /// Without one, nobody can log in as this user until one is set.
    pub password: Option<Secret>,
    /// The wire id for it in one scheme; `None` allocates one.
    pub wire_id: Option<(&'static str, WireId)>,
    /// The dialect's own documents.
    pub documents: Vec<DocumentWrite>,
}

/// What is to become of a user; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    /// Another e-mail.
    pub email: Option<String>,
    /// Another name.
    pub name: Option<String>,
    /// Another word for what it may manage without roles.
    pub management: Option<ManagementRole>,
    /// Other roles, all of them.
    pub roles: Option<Vec<RoleId>>,
    /// Lock or unlock.
    pub status: Option<UserStatus>,
    /// Exactly this password from now on.
    pub password: Option<Secret>,
    /// The dialect's own documents.
    pub documents: Vec<DocumentWrite>,
}

/// What is to become of a user's passwords.
#[derive(Clone, Debug)]
pub enum PasswordChange {
    /// Exactly this one.
    Replace(Secret),
    /// This one too.
    Add(Secret),
    /// This one no longer.
    Remove(Secret),
}

impl Control {
    /// Every user of the operator, oldest first.
    pub fn users(&self) -> Vec<Arc<User>> {
        self.store()
            .view()
            .all::<User>()
            .filter(|user| user.tenant.is_none())
            .map(|user| Arc::new((***user).clone()))
            .collect()
    }

    /// The user of the operator with that id.
    pub fn user(&self, id: UserId) -> Option<Arc<User>> {
        self.store()
            .view()
            .get::<User>(&id)
            .filter(|user| user.tenant.is_none())
            .map(|user| Arc::new((***user).clone()))
    }

    /// The user with that login.
    pub fn user_by_login(&self, login: &str) -> Option<Arc<User>> {
        self.store()
            .view()
            .user_by_login(login)
            .map(|user| Arc::new((***user).clone()))
    }

    /// Makes a user, who can log in at once and becomes a login of every database bound to one of the roles.
    ///
    /// # Errors
    /// E-mail or name taken, a role that does not exist.
    pub async fn create_user(&self, caller: &Caller, new: NewUser) -> Result<Arc<User>, ControlError> {
        let NewUser {
            email,
            name,
            management,
            roles,
            password,
            wire_id,
            documents,
        } = new;
        let passwords = match password {
            Some(password) => vec![self.hashed(password).await?],
            None => Vec::new(),
        };
        let user = User {
            id: UserId::new(),
            tenant: None,
            email,
            name,
            management,
            roles,
            passwords,
            status: UserStatus::Active,
            created_at: self.now(),
        };
        self.make_user(caller, user, wire_id, documents).await
    }

    /// Makes a user as it stands there, checked against the others.
    pub(super) async fn make_user(
        &self,
        caller: &Caller,
        user: User,
        wire_id: Option<(&'static str, WireId)>,
        documents: Vec<DocumentWrite>,
    ) -> Result<Arc<User>, ControlError> {
        let now = user.created_at;
        let (user, databases) = self
            .commit(caller, |transaction| {
                check(transaction.view(), &user)?;
                let subject = Subject::User(user.id);
                self.schemes().allocate(transaction, subject, wire_id)?;
                write_documents(transaction, caller, subject, documents)?;
                transaction.append_event(
                    now,
                    event(caller, user.tenant, "user-created", subject, user.display_name()),
                );
                transaction.put(user.clone());
                let databases = databases_open_to(transaction.view(), &user.roles);
                Ok((user, databases))
            })
            .await?;
        self.wake_each(databases);
        Ok(Arc::new(user))
    }

    /// Checks a user that [`Control::create_user`] would make, and makes nothing.
    pub fn check_new_user(&self, new: &NewUser) -> Result<(), ControlError> {
        let user = User {
            id: UserId::new(),
            tenant: None,
            email: new.email.clone(),
            name: new.name.clone(),
            management: new.management,
            roles: new.roles.clone(),
            passwords: Vec::new(),
            status: UserStatus::Active,
            created_at: self.now(),
        };
        check(&self.store().view(), &user)
    }

    /// Changes a user.
    ///
    /// # Errors
    /// As [`Control::create_user`]; [`ControlError::Conflict`] when nobody would be left who may manage everything.
    pub async fn update_user(
        &self,
        caller: &Caller,
        id: UserId,
        change: UserChange,
    ) -> Result<Arc<User>, ControlError> {
        let UserChange {
            email,
            name,
            management,
            roles,
            status,
            password,
            documents,
        } = change;
        let password = self.hashed_for(id, password).await?;
        let now = self.now();
        let (user, databases) = self
            .commit(caller, |transaction| {
                let old = found(transaction.view(), caller, id)?;
                let mut user = old.clone();
                user.email = email.unwrap_or(user.email);
                user.name = name.unwrap_or(user.name);
                user.management = management.unwrap_or(user.management);
                user.roles = roles.unwrap_or(user.roles);
                user.status = status.unwrap_or(user.status);
                if let Some(password) = password {
                    user.passwords = vec![password];
                }
                check(transaction.view(), &user)?;
                let before = administrators(transaction.view());
                write_documents(transaction, caller, Subject::User(id), documents)?;
                if user != old {
                    transaction.put(user.clone());
                    keeps_an_administrator(before, transaction.view())?;
                    transaction.append_event(
                        now,
                        event(
                            caller,
                            user.tenant,
                            "user-updated",
                            Subject::User(id),
                            user.display_name(),
                        ),
                    );
                }
                let mut databases = databases_open_to(transaction.view(), &user.roles);
                databases.extend(databases_open_to(transaction.view(), &old.roles));
                Ok((user, databases))
            })
            .await?;
        self.0.access.forget(id);
        self.wake_each(databases);
        Ok(Arc::new(user))
    }

    /// What is kept of a new password of that user.
    async fn hashed_for(&self, id: UserId, password: Option<Secret>) -> Result<Option<PasswordHash>, ControlError> {
        let Some(password) = password else { return Ok(None) };
        let of_tenant = |view: &View| view.get::<User>(&id).is_some_and(|user| user.tenant.is_some());
        if of_tenant(&self.store().view()) {
            return Ok(Some(self.hashed_for_databases(&password)));
        }
        self.hashed(password).await.map(Some)
    }

    /// Removes a user, who is no login of any database from then on.
    ///
    /// # Errors
    /// [`ControlError::Conflict`] when nobody would be left who may manage everything.
    pub async fn delete_user(&self, caller: &Caller, id: UserId) -> Result<(), ControlError> {
        let now = self.now();
        let databases = self
            .commit(caller, |transaction| {
                let user = found(transaction.view(), caller, id)?;
                let before = administrators(transaction.view());
                let subject = Subject::User(id);
                transaction.delete::<User>(&id);
                keeps_an_administrator(before, transaction.view())?;
                transaction.delete_documents_of(&subject);
                transaction.release_wire_ids(&subject);
                transaction.append_event(
                    now,
                    event(caller, user.tenant, "user-deleted", subject, user.display_name()),
                );
                Ok(databases_open_to(transaction.view(), &user.roles))
            })
            .await?;
        self.0.access.forget(id);
        self.wake_each(databases);
        Ok(())
    }

    /// Changes the passwords of a user.
    ///
    /// # Errors
    /// [`ControlError::AlreadyExists`] for a password that is valid already, [`ControlError::NotFound`] for one to remove that is not the
    /// user's (as a document, because users are found), [`ControlError::Conflict`] for the last one.
    pub async fn change_passwords(
        &self,
        caller: &Caller,
        id: UserId,
        change: PasswordChange,
    ) -> Result<(), ControlError> {
        let known = self.user(id).ok_or(ControlError::not_found(Noun::User))?;
        let (PasswordChange::Replace(password) | PasswordChange::Add(password) | PasswordChange::Remove(password)) =
            &change;
        let digest = sha256_hex(password);
        let is_new = !self.has_password(&known.passwords, &digest);
        let hash = match &change {
            PasswordChange::Remove(_) => None,
            PasswordChange::Replace(_) | PasswordChange::Add(_) if !is_new => {
                return Err(ControlError::AlreadyExists {
                    what: Noun::User,
                    field: "password",
                });
            }
            PasswordChange::Replace(password) | PasswordChange::Add(password) => {
                Some(self.hashed(password.clone()).await?)
            }
        };
        let now = self.now();
        let databases = self
            .commit(caller, |transaction| {
                let mut user = found(transaction.view(), caller, id)?;
                match (change, hash) {
                    (PasswordChange::Replace(_), Some(hash)) => user.passwords = vec![hash],
                    (PasswordChange::Add(_), Some(hash)) => user.passwords.push(hash),
                    _ => self.remove_password(&mut user.passwords, &digest)?,
                }
                if user.passwords.len() > PASSWORDS_MAX {
                    return Err(ControlError::invalid(
                        Field::Password,
                        format!("at most {PASSWORDS_MAX} are valid at once"),
                    ));
                }
                transaction.append_event(
                    now,
                    event(
                        caller,
                        user.tenant,
                        "user-updated",
                        Subject::User(id),
                        user.display_name(),
                    ),
                );
                let databases = databases_open_to(transaction.view(), &user.roles);
                transaction.put(user);
                Ok(databases)
            })
            .await?;
        self.0.access.forget(id);
        self.wake_each(databases);
        Ok(())
    }

    fn remove_password(&self, passwords: &mut Vec<PasswordHash>, digest: &Secret) -> Result<(), ControlError> {
        let before = passwords.len();
        let kept: Vec<PasswordHash> = passwords
            .iter()
            .filter(|hash| !self.is_password(hash, digest))
            .cloned()
            .collect();
        if kept.len() == before {
            return Err(ControlError::not_found(Noun::Document));
        }
        if kept.is_empty() {
            return Err(ControlError::Conflict(
                "the last password of a user cannot be removed".to_owned(),
            ));
        }
        *passwords = kept;
        Ok(())
    }

    fn has_password(&self, passwords: &[PasswordHash], digest: &Secret) -> bool {
        passwords.iter().any(|hash| self.is_password(hash, digest))
    }

    /// Both sides are hashes of which the caller knows at most one password: an early end of the comparison tells nothing.
    fn is_password(&self, hash: &PasswordHash, digest: &Secret) -> bool {
        self.keyring()
            .open(&hash.sealed_sha256)
            .is_ok_and(|known| known == *digest)
    }
}

fn found(view: &View, caller: &Caller, id: UserId) -> Result<User, ControlError> {
    view.get::<User>(&id)
        .filter(|user| within_reach(user.tenant, caller))
        .map(|user| (***user).clone())
        .ok_or(ControlError::not_found(Noun::User))
}

fn write_documents(
    transaction: &mut Transaction<'_>,
    caller: &Caller,
    subject: Subject,
    documents: Vec<DocumentWrite>,
) -> Result<(), ControlError> {
    for document in documents {
        crate::documents::write(transaction, caller.dialect, subject, document)?;
    }
    Ok(())
}

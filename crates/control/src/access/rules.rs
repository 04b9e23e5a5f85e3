//! ACL rules: named sets of rights inside databases.

use std::collections::BTreeSet;
use std::sync::Arc;

use pilothouse_model::{AclRule, AclRuleId, DatabaseId, Role, Subject, TenantId};
use pilothouse_store::View;

use super::{event, within_reach};
use crate::{Caller, Control, ControlError, DocumentWrite, Field, Noun};

/// Longest rule text: more than every command of every engine, named one by one.
const RULE_BYTES_MAX: usize = 16 * 1024;

/// A rule to be made.
#[derive(Clone, Debug)]
pub struct NewAclRule {
    /// Its name, unique.
    pub name: String,
    /// Its text.
    pub rule: String,
    /// The dialect's own documents.
    pub documents: Vec<DocumentWrite>,
}

/// What is to become of a rule; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct AclRuleChange {
    /// Another name.
    pub name: Option<String>,
    /// Another text.
    pub rule: Option<String>,
    /// The dialect's own documents.
    pub documents: Vec<DocumentWrite>,
}

impl Control {
    /// Checks the text of an ACL rule.
    pub fn validate_acl_rule(&self, rule: &str) -> Result<(), ControlError> {
        let engine = self
            .0
            .engines
            .iter()
            .next()
            .ok_or_else(|| ControlError::Unsupported("no engine".to_owned()))?;
        engine
            .validate_acl_rule(rule)
            .map_err(|error| ControlError::invalid(crate::Field::AclRule, error.message))
    }

    /// Every rule of the operator, oldest first.
    pub fn acl_rules(&self) -> Vec<Arc<AclRule>> {
        self.store()
            .view()
            .all::<AclRule>()
            .filter(|rule| rule.tenant.is_none())
            .map(|rule| Arc::new((***rule).clone()))
            .collect()
    }

    /// The rule of the operator with that id.
    pub fn acl_rule(&self, id: AclRuleId) -> Option<Arc<AclRule>> {
        self.store()
            .view()
            .get::<AclRule>(&id)
            .filter(|rule| rule.tenant.is_none())
            .map(|rule| Arc::new((***rule).clone()))
    }

    /// Makes a rule.
    ///
    /// # Errors
    /// Name taken, or a text that the engine would not take.
    pub async fn create_acl_rule(&self, caller: &Caller, new: NewAclRule) -> Result<Arc<AclRule>, ControlError> {
        self.make_acl_rule(caller, None, new).await
    }

    /// Makes a rule of the operator's or of a tenant's.
    pub(super) async fn make_acl_rule(
        &self,
        caller: &Caller,
        tenant: Option<TenantId>,
        new: NewAclRule,
    ) -> Result<Arc<AclRule>, ControlError> {
        self.validate_acl_rule(&new.rule)?;
        let NewAclRule { name, rule, documents } = new;
        let rule = AclRule {
            id: AclRuleId::new(),
            tenant,
            name,
            rule,
            built_in: false,
        };
        let now = self.now();
        self.commit(caller, |transaction| {
            check(transaction.view(), &rule)?;
            let subject = Subject::AclRule(rule.id);
            self.schemes().allocate(transaction, subject, None)?;
            for document in documents {
                crate::documents::write(transaction, caller.dialect, subject, document)?;
            }
            transaction.append_event(now, event(caller, rule.tenant, "acl-rule-created", subject, &rule.name));
            transaction.put(rule.clone());
            Ok(())
        })
        .await?;
        Ok(Arc::new(rule))
    }

    /// Checks a rule that [`Control::create_acl_rule`] would make, and makes nothing.
    pub fn check_new_acl_rule(&self, new: &NewAclRule) -> Result<(), ControlError> {
        let rule = AclRule {
            id: AclRuleId::new(),
            tenant: None,
            name: new.name.clone(),
            rule: new.rule.clone(),
            built_in: false,
        };
        check(&self.store().view(), &rule)?;
        self.validate_acl_rule(&rule.rule)
    }

    /// Changes a rule; the databases bound to it follow.
    ///
    /// # Errors
    /// As [`Control::create_acl_rule`]; [`ControlError::Forbidden`] for a built-in one.
    pub async fn update_acl_rule(
        &self,
        caller: &Caller,
        id: AclRuleId,
        change: AclRuleChange,
    ) -> Result<Arc<AclRule>, ControlError> {
        if let Some(rule) = &change.rule {
            self.validate_acl_rule(rule)?;
        }
        let now = self.now();
        let (rule, databases) = self
            .commit(caller, |transaction| {
                let mut rule = changeable(transaction.view(), caller, id)?;
                rule.name = change.name.unwrap_or(rule.name);
                rule.rule = change.rule.unwrap_or(rule.rule);
                check(transaction.view(), &rule)?;
                for document in change.documents {
                    crate::documents::write(transaction, caller.dialect, Subject::AclRule(id), document)?;
                }
                transaction.append_event(
                    now,
                    event(
                        caller,
                        rule.tenant,
                        "acl-rule-updated",
                        Subject::AclRule(id),
                        &rule.name,
                    ),
                );
                transaction.put(rule.clone());
                let databases = databases_with(transaction.view(), &rule);
                Ok((rule, databases))
            })
            .await?;
        self.wake_each(databases);
        Ok(Arc::new(rule))
    }

    /// Removes a rule.
    ///
    /// # Errors
    /// [`ControlError::Forbidden`] for a built-in one; [`ControlError::Conflict`] while a database is bound to it.
    pub async fn delete_acl_rule(&self, caller: &Caller, id: AclRuleId) -> Result<(), ControlError> {
        let now = self.now();
        self.commit(caller, |transaction| {
            let rule = changeable(transaction.view(), caller, id)?;
            if !databases_bound(transaction.view(), id).is_empty() {
                return Err(ControlError::Conflict("the rule is bound to a database".to_owned()));
            }
            if roles_granting(transaction.view(), &rule).next().is_some() {
                return Err(ControlError::Conflict("a role grants the rule".to_owned()));
            }
            let subject = Subject::AclRule(id);
            transaction.delete::<AclRule>(&id);
            transaction.delete_documents_of(&subject);
            transaction.release_wire_ids(&subject);
            transaction.append_event(now, event(caller, rule.tenant, "acl-rule-deleted", subject, &rule.name));
            Ok(())
        })
        .await
    }
}

fn databases_bound(view: &View, rule: AclRuleId) -> BTreeSet<DatabaseId> {
    view.databases_bound_to_rule(rule).map(|database| database.id).collect()
}

/// The databases where logins have the rights of the rule.
fn databases_with(view: &View, rule: &AclRule) -> BTreeSet<DatabaseId> {
    let grants = roles_granting(view, rule).flat_map(|role| &role.grants);
    let granted = grants.filter(|grant| grant.rule == rule.id);
    let granted = granted.flat_map(|grant| grant.databases.iter().copied());
    granted.chain(databases_bound(view, rule.id)).collect()
}

fn roles_granting<'v>(view: &'v View, rule: &AclRule) -> impl Iterator<Item = &'v Role> + use<'v> {
    let (id, owned) = (rule.id, rule.tenant.is_some());
    let roles = view.all::<Role>().map(|role| &***role);
    roles.filter(move |role| owned && role.grants.iter().any(|grant| grant.rule == id))
}

fn changeable(view: &View, caller: &Caller, id: AclRuleId) -> Result<AclRule, ControlError> {
    let rule = view
        .get::<AclRule>(&id)
        .filter(|rule| within_reach(rule.tenant, caller));
    let rule = rule.ok_or(ControlError::not_found(Noun::AclRule))?;
    if rule.built_in {
        return Err(ControlError::Forbidden(
            "a built-in rule can be neither changed nor deleted".to_owned(),
        ));
    }
    Ok((***rule).clone())
}

fn check(view: &View, rule: &AclRule) -> Result<(), ControlError> {
    if rule.name.is_empty() || rule.name.len() > 256 || rule.name.chars().any(char::is_control) {
        return Err(ControlError::invalid(
            Field::Name,
            "1 to 256 characters without control characters",
        ));
    }
    if rule.rule.len() > RULE_BYTES_MAX {
        return Err(ControlError::invalid(
            Field::AclRule,
            format!("at most {RULE_BYTES_MAX} characters"),
        ));
    }
    let mut others = view.all::<AclRule>().filter(|other| other.tenant == rule.tenant);
    match others.find(|other| other.name == rule.name) {
        Some(other) if other.id != rule.id => Err(ControlError::AlreadyExists {
            what: Noun::AclRule,
            field: "name",
        }),
        _ => Ok(()),
    }
}

//! ACL rules.

use pilothouse_model::{AclRule, AclRuleId};

super::plain_noun!(AclRule, AclRuleId, AclRule, acl_rules, |rule| rule.id);

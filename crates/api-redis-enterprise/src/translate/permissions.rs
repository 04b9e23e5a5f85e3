//! The names of permissions in the product's documentation, by the group that grants them here.

use std::collections::BTreeMap;

use pilothouse_model::ManagementRole;
use serde_json::{Value, json};

use crate::auth::Permission;
use crate::wire::user::ManagementWord;

const NAMES: &[(Permission, &[&str])] = &[
    (
        Permission::ViewDatabases,
        &[
            "view_all_bdbs_info",
            "view_bdb_info",
            "view_all_bdb_stats",
            "view_bdb_stats",
            "view_all_bdbs_alerts",
            "view_bdb_alerts",
        ],
    ),
    (Permission::ViewRecoveryPlan, &["view_bdb_recovery_plan"]),
    (
        Permission::ManageDatabases,
        &[
            "create_bdb",
            "update_bdb",
            "update_bdb_with_action",
            "delete_bdb",
            "update_bdb_alerts",
            "start_bdb_import",
            "start_bdb_export",
            "start_bdb_recovery",
            "reset_bdb_current_backup_status",
            "reset_bdb_current_export_status",
            "reset_bdb_current_import_status",
            "failover_shard",
            "migrate_shard",
            "create_crdb",
            "update_crdb",
            "delete_crdb",
            "flush_crdb",
            "purge_instance",
            "edit_bdb_module",
        ],
    ),
    (Permission::ViewDatabasePasswords, &["view_redis_pass"]),
    (
        Permission::ViewCluster,
        &[
            "view_all_nodes_info",
            "view_node_info",
            "view_all_nodes_stats",
            "view_node_stats",
            "view_all_nodes_checks",
            "view_node_check",
            "view_all_nodes_alerts",
            "view_node_alerts",
            "view_cluster_info",
            "view_cluster_stats",
            "view_cluster_alerts",
            "view_cluster_modules",
            "view_all_shard_stats",
            "view_shard_stats",
            "view_all_proxies_info",
            "view_proxy_info",
            "view_all_roles_info",
            "view_role_info",
            "view_all_redis_acls_info",
            "view_redis_acl_info",
            "view_crdb",
            "view_crdb_list",
            "view_crdb_task",
            "view_crdb_task_list",
            "view_license",
            "view_status_of_cluster_action",
            "view_status_of_node_action",
            "view_status_of_all_node_actions",
            "view_endpoint_stats",
        ],
    ),
    (Permission::ViewLogs, &["view_logged_events"]),
    (Permission::ViewCertificates, &["view_cluster_keys"]),
    (
        Permission::ManageCluster,
        &[
            "update_cluster",
            "update_node",
            "start_node_action",
            "cancel_node_action",
            "start_cluster_action",
            "cancel_cluster_action",
            "update_cluster_module",
            "config_ocsp",
            "view_ocsp_config",
        ],
    ),
    (
        Permission::ManageUsers,
        &[
            "create_new_user",
            "update_user",
            "delete_user",
            "view_all_users_info",
            "view_user_info",
            "config_ldap",
            "view_ldap_config",
            "create_ldap_mapping",
            "update_ldap_mapping",
            "delete_ldap_mapping",
            "view_all_ldap_mappings_info",
            "view_ldap_mapping_info",
        ],
    ),
    (
        Permission::ManageAccess,
        &[
            "create_role",
            "update_role",
            "delete_role",
            "create_redis_acl",
            "update_redis_acl",
            "delete_redis_acl",
            "install_new_license",
            "update_proxy",
        ],
    ),
    (Permission::DebugInfo, &["view_debugging_info"]),
];

const ROLES: [ManagementRole; 7] = [
    ManagementRole::Admin,
    ManagementRole::ClusterMember,
    ManagementRole::ClusterViewer,
    ManagementRole::DbMember,
    ManagementRole::DbViewer,
    ManagementRole::UserManager,
    ManagementRole::None,
];

/// Every management role with the names of what it may do.
pub(crate) fn of_all_roles() -> BTreeMap<String, Value> {
    let word = |role| {
        serde_json::to_value(ManagementWord::from(role))
            .ok()
            .and_then(|word| word.as_str().map(str::to_owned))
    };
    ROLES
        .into_iter()
        .filter_map(|role| {
            let granted = NAMES.iter().filter(|(permission, _)| permission.granted_to(role));
            let names: Vec<&str> = granted.flat_map(|(_, names)| names.iter().copied()).collect();
            Some((word(role)?, json!({"api_permissions": names, "ui_permissions": names})))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_matrix() {
        let all = of_all_roles();
        let may = |role: &str, name: &str| all[role]["api_permissions"].as_array().unwrap().contains(&name.into());
        assert!(may("admin", "update_cluster") && !may("cluster_member", "update_cluster"));
        assert!(may("db_member", "create_bdb") && !may("db_viewer", "create_bdb"));
        assert!(may("user_manager", "create_new_user") && !may("user_manager", "view_bdb_recovery_plan"));
        assert_eq!(all["none"]["api_permissions"], json!([]));
    }
}

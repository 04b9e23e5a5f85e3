//! Every route of this API, in the order of the product's documentation. No logic.
//!
//! A row says: method, path, priority, who may call it, and the function that answers. `OPTIONS`, `Allow` and 405 follow from the table.
//! Routes that are specified and not built have rows too and answer as the product does where a feature is absent.

use crate::app::App;
use crate::auth::Permission;
use crate::call::{Answer, Call};
use crate::handlers;

pilothouse_api::routes! {
    handlers(App, Call) -> Answer, permission Permission;

    // Bootstrap
    GET    "/v1/bootstrap"                              P0 Bootstrap bootstrap::status;
    POST   "/v1/bootstrap/create_cluster"               P0 Bootstrap bootstrap::create_cluster;
    POST   "/v1/bootstrap/join_cluster"                 P1 Bootstrap bootstrap::join_cluster;
    POST   "/v1/bootstrap/recover_cluster"              P2 Bootstrap bootstrap::recover_cluster;
    POST   "/v1/bootstrap/validate/{action}"            P1 Bootstrap bootstrap::validate;

    // Cluster
    GET    "/v1/cluster"                                P0 ViewCluster cluster::get;
    PUT    "/v1/cluster"                                P0 ManageCluster cluster::update;
    GET    "/v1/cluster/policy"                         P1 ViewCluster policy::get;
    PUT    "/v1/cluster/policy"                         P1 ManageCluster policy::update;
    PUT    "/v1/cluster/policy/restore_default"         P2 ManageCluster policy::restore_default;
    GET    "/v1/cluster/actions"                        P1 ViewCluster cluster_actions::list;
    GET    "/v1/cluster/actions/{action}"               P1 ViewCluster cluster_actions::get;
    POST   "/v1/cluster/actions/{action}"               P1 ManageCluster cluster_actions::start;
    DELETE "/v1/cluster/actions/{action}"               P2 ManageCluster cluster_actions::cancel;
    GET    "/v1/cluster/alerts"                         P0 ViewCluster cluster_alerts::list;
    GET    "/v1/cluster/alerts/{alert}"                 P0 ViewCluster cluster_alerts::get;
    GET    "/v1/cluster/certificates"                   P0 ViewCertificates certificates::list;
    PUT    "/v1/cluster/certificates"                   P1 ManageCluster certificates::update_all;
    PUT    "/v1/cluster/update_cert"                    P0 ManageCluster certificates::update;
    POST   "/v1/cluster/certificates/rotate"            P0 ManageCluster certificates::rotate;
    DELETE "/v1/cluster/certificates/{name}"            P0 ManageCluster certificates::delete;
    GET    "/v1/cluster/check"                          P1 ViewCluster cluster::check;
    GET    "/v1/cluster/ldap"                           P2 ManageUsers ldap::get;
    PUT    "/v1/cluster/ldap"                           P2 ManageUsers ldap::update;
    DELETE "/v1/cluster/ldap"                           P2 ManageUsers ldap::delete;
    GET    "/v1/cluster/services_configuration"         P2 ViewCluster services::configuration;
    PUT    "/v1/cluster/services_configuration"         P2 ManageCluster services::configure;
    GET    "/v1/cluster/module-capabilities"            P2 ViewCluster modules::capabilities;
    GET    "/v1/cluster/auditing/db_conns"              P2 ViewCluster auditing::get;
    PUT    "/v1/cluster/auditing/db_conns"              P2 ManageCluster auditing::update;
    DELETE "/v1/cluster/auditing/db_conns"              P2 ManageCluster auditing::delete;
    PATCH  "/v1/cluster/change_password_hashing_algorithm" P2 ManageCluster cluster::change_password_hashing;
    GET    "/v1/cluster/stats"                          P0 ViewCluster cluster_stats::get;
    GET    "/v1/cluster/stats/last"                     P0 ViewCluster cluster_stats::last;
    GET    "/v1/cluster/witness_disk"                   P2 ViewCluster cluster::witness_disk;
    GET    "/v1/cluster/debuginfo"                      P1 DebugInfo debuginfo::cluster;

    // Nodes
    GET    "/v1/nodes"                                  P0 ViewCluster nodes::list;
    GET    "/v1/nodes/{uid}"                            P0 ViewCluster nodes::get;
    PUT    "/v1/nodes/{uid}"                            P1 ManageCluster nodes::update;
    GET    "/v1/nodes/status"                           P1 ViewCluster nodes::status_all;
    GET    "/v1/nodes/{uid}/status"                     P1 ViewCluster nodes::status;
    GET    "/v1/nodes/actions"                          P1 ViewCluster node_actions::list_all;
    GET    "/v1/nodes/{uid}/actions"                    P1 ViewCluster node_actions::list;
    GET    "/v1/nodes/{uid}/actions/{action}"           P1 ViewCluster node_actions::get;
    POST   "/v1/nodes/{uid}/actions/{action}"           P1 ManageCluster node_actions::start;
    DELETE "/v1/nodes/{uid}/actions/{action}"           P2 ManageCluster node_actions::cancel;
    GET    "/v1/nodes/{uid}/snapshots"                  P2 ViewCluster node_actions::snapshots;
    POST   "/v1/nodes/{uid}/snapshots/{name}"           P2 ManageCluster node_actions::create_snapshot;
    DELETE "/v1/nodes/{uid}/snapshots/{name}"           P2 ManageCluster node_actions::delete_snapshot;
    GET    "/v1/nodes/alerts"                           P1 ViewCluster node_alerts::list_all;
    GET    "/v1/nodes/alerts/{uid}"                     P1 ViewCluster node_alerts::list;
    GET    "/v1/nodes/alerts/{uid}/{alert}"             P1 ViewCluster node_alerts::get;
    GET    "/v1/nodes/check/{uid}"                      P1 ViewCluster nodes::check;
    GET    "/v1/nodes/stats"                            P0 ViewCluster node_stats::list;
    GET    "/v1/nodes/stats/{uid}"                      P0 ViewCluster node_stats::get;
    GET    "/v1/nodes/stats/last"                       P0 ViewCluster node_stats::last_all;
    GET    "/v1/nodes/stats/last/{uid}"                 P0 ViewCluster node_stats::last;
    GET    "/v1/nodes/wd_status"                        P2 ViewCluster nodes::watchdog_all;
    GET    "/v1/nodes/{uid}/wd_status"                  P2 ViewCluster nodes::watchdog;
    GET    "/v1/nodes/debuginfo"                        P1 DebugInfo debuginfo::nodes;
    GET    "/v1/nodes/{uid}/debuginfo"                  P1 DebugInfo debuginfo::node;

    // Databases
    GET    "/v1/bdbs"                                   P0 ViewDatabases bdbs::list;
    GET    "/v1/bdbs/{uid}"                             P0 ViewDatabases bdbs::get;
    POST   "/v1/bdbs"                                   P0 ManageDatabases bdbs::create;
    POST   "/v2/bdbs"                                   P1 ManageDatabases bdbs::create_v2;
    PUT    "/v1/bdbs/{uid}"                             P0 ManageDatabases bdbs::update;
    PUT    "/v2/bdbs/{uid}"                             P2 ManageDatabases bdbs::update;
    PUT    "/v1/bdbs/{uid}/{action}"                    P0 ManageDatabases bdbs::update_with_action;
    DELETE "/v1/bdbs/{uid}"                             P0 ManageDatabases bdbs::delete;
    POST   "/v1/bdbs/{uid}/actions/import"              P0 ManageDatabases bdb_transfers::import;
    POST   "/v1/bdbs/{uid}/actions/export"              P0 ManageDatabases bdb_transfers::export;
    POST   "/v1/bdbs/{uid}/import"                      P2 ManageDatabases bdb_transfers::import;
    POST   "/v1/bdbs/{uid}/export"                      P2 ManageDatabases bdb_transfers::export;
    PUT    "/v1/bdbs/{uid}/actions/import_reset_status" P0 ManageDatabases bdb_transfers::reset_import;
    PUT    "/v1/bdbs/{uid}/actions/export_reset_status" P0 ManageDatabases bdb_transfers::reset_export;
    PUT    "/v1/bdbs/{uid}/actions/backup_reset_status" P0 ManageDatabases bdb_transfers::reset_backup;
    GET    "/v1/bdbs/{uid}/actions/recover"             P0 ViewRecoveryPlan bdb_actions::recovery_plan;
    POST   "/v1/bdbs/{uid}/actions/recover"             P0 ManageDatabases bdb_actions::recover;
    GET    "/v1/bdbs/{uid}/actions/optimize_shards_placement" P0 ViewDatabases bdb_actions::optimize_placement;
    PUT    "/v1/bdbs/{uid}/actions/rebalance"           P1 ManageDatabases bdb_actions::rebalance;
    PUT    "/v1/bdbs/{uid}/actions/revamp"              P1 ManageDatabases bdb_actions::revamp;
    POST   "/v1/bdbs/{uid}/actions/stop_traffic"        P1 ManageDatabases bdb_actions::stop_traffic;
    POST   "/v1/bdbs/{uid}/actions/resume_traffic"      P1 ManageDatabases bdb_actions::resume_traffic;
    PUT    "/v1/bdbs/{uid}/passwords"                   P0 ManageDatabases bdb_passwords::replace;
    POST   "/v1/bdbs/{uid}/passwords"                   P0 ManageDatabases bdb_passwords::add;
    DELETE "/v1/bdbs/{uid}/passwords"                   P0 ManageDatabases bdb_passwords::remove;
    POST   "/v1/bdbs/{uid}/upgrade"                     P0 ManageDatabases bdb_actions::upgrade;
    POST   "/v1/bdbs/{uid}/command"                     P0 ManageDatabases bdb_actions::command;
    GET    "/v1/bdbs/{uid}/shards"                      P1 ViewDatabases shards::list_of_bdb;
    PUT    "/v1/bdbs/{uid}/shards"                      P2 ManageDatabases bdbs::update;
    GET    "/v1/bdbs/{uid}/availability"                P1 ViewDatabases bdb_actions::availability;
    GET    "/v1/local/bdbs/{uid}/endpoint/availability" P1 ViewDatabases bdb_actions::endpoint_availability;
    GET    "/v1/bdbs/alerts"                            P0 ViewDatabases bdb_alerts::list_all;
    GET    "/v1/bdbs/alerts/{uid}"                      P0 ViewDatabases bdb_alerts::list;
    GET    "/v1/bdbs/alerts/{uid}/{alert}"              P0 ViewDatabases bdb_alerts::get;
    POST   "/v1/bdbs/alerts/{uid}"                      P0 ManageDatabases bdb_alerts::update;
    GET    "/v1/bdbs/replica_sources/alerts"            P2 ViewDatabases bdb_alerts::sources_all;
    GET    "/v1/bdbs/replica_sources/alerts/{uid}"      P2 ViewDatabases bdb_alerts::sources_of;
    GET    "/v1/bdbs/replica_sources/alerts/{uid}/{src}" P2 ViewDatabases bdb_alerts::source;
    GET    "/v1/bdbs/replica_sources/alerts/{uid}/{src}/{alert}" P2 ViewDatabases bdb_alerts::source_alert;
    GET    "/v1/bdbs/crdt_sources/alerts"               P2 ViewDatabases bdb_alerts::sources_all;
    GET    "/v1/bdbs/crdt_sources/alerts/{uid}"         P2 ViewDatabases bdb_alerts::sources_of;
    GET    "/v1/bdbs/crdt_sources/alerts/{uid}/{src}"   P2 ViewDatabases bdb_alerts::source;
    GET    "/v1/bdbs/crdt_sources/alerts/{uid}/{src}/{alert}" P2 ViewDatabases bdb_alerts::source_alert;
    GET    "/v1/bdbs/stats"                             P0 ViewDatabases bdb_stats::list;
    GET    "/v1/bdbs/stats/{uid}"                       P0 ViewDatabases bdb_stats::get;
    GET    "/v1/bdbs/stats/last"                        P0 ViewDatabases bdb_stats::last_all;
    GET    "/v1/bdbs/stats/last/{uid}"                  P0 ViewDatabases bdb_stats::last;
    GET    "/v1/bdbs/{uid}/peer_stats"                  P1 ViewDatabases bdb_stats::peers;
    GET    "/v1/bdbs/{uid}/peer_stats/{peer}"           P1 ViewDatabases bdb_stats::peers;
    GET    "/v1/bdbs/{uid}/sync_source_stats"           P1 ViewDatabases bdb_stats::sync_sources;
    GET    "/v1/bdbs/{uid}/sync_source_stats/{src}"     P1 ViewDatabases bdb_stats::sync_source;
    GET    "/v1/bdbs/{uid}/syncer_state"                P2 ViewDatabases bdb_stats::syncer_state;
    GET    "/v1/bdbs/{uid}/syncer_state/{kind}"         P2 ViewDatabases bdb_stats::syncer_state;
    POST   "/v1/bdbs/{uid}/modules/config"              P2 ManageDatabases bdb_modules::configure;
    POST   "/v1/bdbs/{uid}/modules/upgrade"             P2 ManageDatabases bdb_modules::upgrade;
    POST   "/v1/modules/config/bdb/{uid}"               P2 ManageDatabases bdb_modules::configure;
    GET    "/v1/bdbs/debuginfo"                         P1 DebugInfo debuginfo::bdbs;
    GET    "/v1/bdbs/{uid}/debuginfo"                   P1 DebugInfo debuginfo::bdb;
    GET    "/v1/bdbs/certificates"                      P2 ViewDatabases bdb_certificates::list;
    GET    "/v1/bdbs/{uid}/certificates"                P2 ViewDatabases bdb_certificates::get;
    POST   "/v1/bdbs/{uid}/certificates"                P2 ManageDatabases bdb_certificates::update;
    DELETE "/v1/bdbs/{uid}/certificates"                P2 ManageDatabases bdb_certificates::delete;

    // Shards, endpoints, proxies
    GET    "/v1/shards"                                 P0 ViewCluster shards::list;
    GET    "/v1/shards/{uid}"                           P0 ViewCluster shards::get;
    GET    "/v1/shards/stats"                           P0 ViewCluster shard_stats::list;
    GET    "/v1/shards/stats/{uid}"                     P0 ViewCluster shard_stats::get;
    GET    "/v1/shards/stats/last"                      P0 ViewCluster shard_stats::last_all;
    GET    "/v1/shards/stats/last/{uid}"                P0 ViewCluster shard_stats::last;
    POST   "/v1/shards/{uid}/actions/failover"          P1 ManageDatabases shards::fail_over;
    POST   "/v1/shards/actions/failover"                P1 ManageDatabases shards::fail_over_many;
    POST   "/v1/shards/{uid}/actions/migrate"           P1 ManageDatabases shards::migrate;
    POST   "/v1/shards/actions/migrate"                 P1 ManageDatabases shards::migrate_many;
    GET    "/v1/endpoints/stats"                        P1 ViewCluster endpoint_stats::list;
    GET    "/v1/proxies"                                P1 ViewCluster proxies::list;
    GET    "/v1/proxies/{uid}"                          P1 ViewCluster proxies::get;
    PUT    "/v1/proxies"                                P1 ManageAccess proxies::update_all;
    PUT    "/v1/proxies/{uid}"                          P1 ManageAccess proxies::update;

    // Actions
    GET    "/v1/actions"                                P1 ViewCluster actions::list;
    GET    "/v1/actions/{uid}"                          P0 ViewCluster actions::get;
    GET    "/v1/actions/bdb/{uid}"                      P1 ViewCluster actions::list_of_bdb;
    GET    "/v2/actions"                                P1 ViewCluster actions::list_v2;
    GET    "/v2/actions/{uid}"                          P1 ViewCluster actions::get_v2;

    // Users, roles, ACLs, LDAP mappings
    GET    "/v1/users"                                  P0 ManageUsers users::list;
    GET    "/v1/users/{uid}"                            P0 ManageUsers users::get;
    POST   "/v1/users"                                  P0 ManageUsers users::create;
    PUT    "/v1/users/{uid}"                            P0 Anybody users::update;
    DELETE "/v1/users/{uid}"                            P0 ManageUsers users::delete;
    GET    "/v1/users/role"                             P2 Anybody users::own_role;
    GET    "/v1/users/permissions"                      P2 Anybody users::permissions;
    GET    "/v1/users/permissions/{role}"               P2 Anybody users::permissions_of;
    GET    "/v1/users/password"                         P2 Anybody passwords::hash_method;
    PUT    "/v1/users/password"                         P0 Anybody passwords::replace;
    POST   "/v1/users/password"                         P0 Anybody passwords::add;
    DELETE "/v1/users/password"                         P0 Anybody passwords::remove;
    POST   "/v1/users/authorize"                        P1 Anonymous tokens::authorize;
    POST   "/v1/users/refresh_jwt"                      P1 Anybody tokens::refresh;
    GET    "/v1/roles"                                  P0 ViewCluster roles::list;
    GET    "/v1/roles/{uid}"                            P0 ViewCluster roles::get;
    POST   "/v1/roles"                                  P0 ManageAccess roles::create;
    PUT    "/v1/roles/{uid}"                            P0 ManageAccess roles::update;
    DELETE "/v1/roles/{uid}"                            P0 ManageAccess roles::delete;
    GET    "/v1/redis_acls"                             P0 ViewCluster redis_acls::list;
    GET    "/v1/redis_acls/{uid}"                       P0 ViewCluster redis_acls::get;
    POST   "/v1/redis_acls"                             P0 ManageAccess redis_acls::create;
    POST   "/v1/redis_acls/validate"                    P2 ManageAccess redis_acls::validate;
    PUT    "/v1/redis_acls/{uid}"                       P0 ManageAccess redis_acls::update;
    DELETE "/v1/redis_acls/{uid}"                       P0 ManageAccess redis_acls::delete;
    GET    "/v1/ldap_mappings"                          P2 ManageUsers ldap_mappings::list;
    GET    "/v1/ldap_mappings/{uid}"                    P2 ManageUsers ldap_mappings::get;
    POST   "/v1/ldap_mappings"                          P2 ManageUsers ldap_mappings::create;
    PUT    "/v1/ldap_mappings/{uid}"                    P2 ManageUsers ldap_mappings::update;
    DELETE "/v1/ldap_mappings/{uid}"                    P2 ManageUsers ldap_mappings::delete;

    // Modules, license, logs and other small resources
    GET    "/v1/modules"                                P0 ViewCluster modules::list;
    GET    "/v1/modules/{uid}"                          P1 ViewCluster modules::get;
    POST   "/v1/modules"                                P2 ManageCluster modules::upload;
    POST   "/v2/modules"                                P2 ManageCluster modules::upload;
    DELETE "/v1/modules/{uid}"                          P2 ManageCluster modules::delete;
    GET    "/v1/license"                                P0 ViewCluster license::get;
    PUT    "/v1/license"                                P1 ManageAccess license::update;
    GET    "/v1/logs"                                   P0 ViewLogs logs::list;
    GET    "/v1/suffixes"                               P1 ViewCluster suffixes::list;
    GET    "/v1/suffix/{name}"                          P1 ViewCluster suffixes::get;
    DELETE "/v1/suffix/{name}"                          P2 ManageCluster suffixes::delete;
    GET    "/v1/cm_settings"                            P1 ViewCluster cm_settings::get;
    PUT    "/v1/cm_settings"                            P1 ManageCluster cm_settings::update;
    GET    "/v1/local/services"                         P2 ViewCluster services::list;
    POST   "/v1/local/services"                         P2 ManageCluster services::control;
    POST   "/v1/services"                               P2 ManageCluster services::control;
    GET    "/v1/job_scheduler"                          P2 ViewCluster job_scheduler::get;
    PUT    "/v1/job_scheduler"                          P2 ManageCluster job_scheduler::update;
    GET    "/v1/diagnostics"                            P2 ViewCluster diagnostics::get;
    PUT    "/v1/diagnostics"                            P2 ManageCluster diagnostics::update;
    GET    "/v1/ocsp"                                   P2 ManageCluster ocsp::get;
    PUT    "/v1/ocsp"                                   P2 ManageCluster ocsp::update;
    GET    "/v1/ocsp/status"                            P2 ManageCluster ocsp::status;
    POST   "/v1/ocsp/test"                              P2 ManageCluster ocsp::test;
    GET    "/v1/bdb_groups"                             P2 ViewDatabases bdb_groups::list;
    POST   "/v1/bdb_groups"                             P2 ManageDatabases bdb_groups::create;
    GET    "/v1/bdb_groups/{uid}"                       P2 ViewDatabases bdb_groups::get;
    PUT    "/v1/bdb_groups/{uid}"                       P2 ManageDatabases bdb_groups::update;
    DELETE "/v1/bdb_groups/{uid}"                       P2 ManageDatabases bdb_groups::delete;
    GET    "/v1/jsonschema"                             P1 ViewCluster jsonschema::get;
    GET    "/v1/usage_report"                           P1 ViewCluster usage_report::get;
    GET    "/v1/local/node/master_healthcheck"          P1 ViewCluster local::master_healthcheck;
    GET    "/v1/migrations/{uid}"                       P2 ViewDatabases migrations::get;

    // Active-Active
    GET    "/v1/crdbs"                                  P1 ViewCluster crdbs::list;
    POST   "/v1/crdbs"                                  P2 ManageDatabases crdbs::create;
    GET    "/v1/crdbs/{guid}"                           P2 ViewCluster crdbs::absent;
    PATCH  "/v1/crdbs/{guid}"                           P2 ManageDatabases crdbs::absent;
    DELETE "/v1/crdbs/{guid}"                           P2 ManageDatabases crdbs::absent;
    PUT    "/v1/crdbs/{guid}/flush"                     P2 ManageDatabases crdbs::absent;
    PUT    "/v1/crdbs/{guid}/purge"                     P2 ManageDatabases crdbs::absent;
    POST   "/v1/crdbs/{guid}/updates"                   P2 ManageDatabases crdbs::absent;
    POST   "/v1/crdbs/{guid}/upgrade"                   P2 ManageDatabases crdbs::absent;
    GET    "/v1/crdbs/{guid}/health_report"             P2 ViewCluster crdbs::absent;
    GET    "/v1/crdb_tasks"                             P1 ViewCluster crdbs::tasks;
    GET    "/v1/crdb_tasks/{id}"                        P2 ViewCluster crdbs::absent_task;
    POST   "/v1/crdb_tasks/{id}/actions/cancel"         P2 ManageDatabases crdbs::absent_task;

    // Debug info, deprecated paths
    GET    "/v1/debuginfo/all"                          P1 DebugInfo debuginfo::cluster;
    GET    "/v1/debuginfo/all/bdb/{uid}"                P1 DebugInfo debuginfo::bdb;
    GET    "/v1/debuginfo/node"                         P1 DebugInfo debuginfo::nodes;
    GET    "/v1/debuginfo/node/bdb/{uid}"               P1 DebugInfo debuginfo::bdb;

    // Health
    GET    "/v4/cluster/health"                         P2 ViewCluster health::cluster;
    GET    "/v4/db/{uid}/health"                        P2 ViewDatabases health::database;
}

#[cfg(test)]
mod tests {
    use pilothouse_api::{Method, RouteTable};

    use super::*;

    #[test]
    fn every_row_is_found_under_its_own_path() {
        let table = RouteTable::new(ROUTES);
        for route in ROUTES {
            let path: Vec<_> = route
                .path
                .split('/')
                .map(|s| if s.starts_with('{') { "7" } else { s })
                .collect();
            match table.find(&route.method, &path.join("/")) {
                Ok(pilothouse_api::Match::Found(found, _)) => assert_eq!(found.path, route.path),
                other => panic!("{} {}: {other:?}", route.method, route.path),
            }
        }
    }

    #[test]
    fn paths_that_the_product_does_not_register_are_unknown() {
        let table = RouteTable::new(ROUTES);
        for path in [
            "/v1/boostrap",
            "/v1/alerts",
            "/v1/endpoints",
            "/v1/endpoints/1",
            "/v1/cluster/settings",
            "/v1/cluster/topology",
            "/v1/cluster/license",
            "/v1/cluster/sso",
            "/v1/license/usage",
            "/v1/migrations",
            "/v1/roles/1/users",
            "/v1/proxies/1/stats",
            "/v1/nodes/1/shards",
            "/v1/crdbs/1/tasks",
            "/v1/debuginfo",
            "/v1/debuginfo/x",
            "/v1/metrics_config",
            "/v1/bdbs/1/endpoints/x",
            "/v1/bdbs/metrics/1/x",
            "/v1/suffix",
            "/crdb_tasks",
            "/v1/job_scheduler/1",
            "/v1/ocsp/query",
            "/v1/services/1",
            "/v1/jsonschema/bdb",
            "/v1/diagnostics/1",
        ] {
            let found = table.find(&Method::GET, path);
            assert!(matches!(found, Ok(pilothouse_api::Match::Unknown)), "{path}: {found:?}");
        }
    }
}

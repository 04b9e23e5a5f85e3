//! Every route of this API, in the order of the specification's index (§6). No logic.

use crate::app::App;
use crate::auth::Permission;
use crate::call::{Answer, Call};
use crate::handlers;

pilothouse_api::routes! {
    handlers(App, Call) -> Answer, permission Permission;

    // Account
    GET    "/v1"                                                            P0 Read account::get;
    GET    "/v1/payment-methods"                                            P0 Read account::payment_methods;
    GET    "/v1/regions"                                                    P0 Read account::regions;
    GET    "/v1/database-modules"                                           P0 Read account::modules;
    GET    "/v1/data-persistence"                                           P0 Read account::persistence;
    GET    "/v1/query-performance-factors"                                  P1 Read account::query_performance_factors;
    GET    "/v1/session-logs"                                               P1 Logs account::session_logs;
    POST   "/v1/cost-report"                                                P2 Write absent::switched_off;
    GET    "/v1/cost-report/{id}"                                           P2 Read absent::not_found;
    GET    "/v1/tasks"                                                      P0 Read tasks::list;
    GET    "/v1/tasks/{task}"                                               P0 Read tasks::get;
    GET    "/v1/cloud-accounts"                                             P0 Read account::cloud_accounts;
    GET    "/v1/cloud-accounts/{id}"                                        P0 Read account::cloud_account;

    // Subscriptions
    GET    "/v1/subscriptions"                                              P0 Read subscriptions::list;
    POST   "/v1/subscriptions"                                              P0 Write subscriptions::create;
    GET    "/v1/subscriptions/redis-versions"                               P1 Read subscriptions::redis_versions;
    GET    "/v1/redis-versions"                                             P1 Read subscriptions::redis_versions;
    GET    "/v1/subscriptions/{sid}"                                        P0 Read subscriptions::get;
    PUT    "/v1/subscriptions/{sid}"                                        P0 Write subscriptions::update;
    DELETE "/v1/subscriptions/{sid}"                                        P0 Write subscriptions::delete;
    GET    "/v1/subscriptions/{sid}/cidr"                                   P1 Read subscriptions::cidr;
    PUT    "/v1/subscriptions/{sid}/cidr"                                   P1 Write subscriptions::update_cidr;
    GET    "/v1/subscriptions/{sid}/maintenance-windows"                    P0 Read subscriptions::maintenance_windows;
    PUT    "/v1/subscriptions/{sid}/maintenance-windows"                    P1 Write subscriptions::update_maintenance_windows;
    GET    "/v1/subscriptions/{sid}/pricing"                                P0 Read subscriptions::pricing;
    PUT    "/v1/subscriptions/{sid}/resource-tags"                          P1 Write subscriptions::update_resource_tags;
    GET    "/v1/subscriptions/{sid}/regions"                                P1 Read absent::not_found;
    POST   "/v1/subscriptions/{sid}/regions"                                P1 Write absent::add_region;
    DELETE "/v1/subscriptions/{sid}/regions"                                P1 Write absent::delete_regions;
    GET    "/v1/subscriptions/{sid}/peerings"                               P1 Read absent::peerings;
    POST   "/v1/subscriptions/{sid}/peerings"                               P1 Write absent::create_peering;

    // Databases
    GET    "/v1/subscriptions/{sid}/databases"                              P0 Read databases::list;
    POST   "/v1/subscriptions/{sid}/databases"                              P0 Write databases::create;
    GET    "/v1/subscriptions/{sid}/databases/{did}"                        P0 Read databases::get;
    PUT    "/v1/subscriptions/{sid}/databases/{did}"                        P0 Write databases::update;
    DELETE "/v1/subscriptions/{sid}/databases/{did}"                        P0 Write databases::delete;
    POST   "/v1/subscriptions/{sid}/databases/{did}/backup"                 P1 Write databases::backup;
    GET    "/v1/subscriptions/{sid}/databases/{did}/backup"                 P1 Read databases::backup_status;
    GET    "/v1/subscriptions/{sid}/databases/{did}/backup-status"          P1 Read databases::backup_status;
    POST   "/v1/subscriptions/{sid}/databases/{did}/import"                 P1 Write databases::import;
    GET    "/v1/subscriptions/{sid}/databases/{did}/import"                 P1 Read databases::import_status;
    GET    "/v1/subscriptions/{sid}/databases/{did}/import-status"          P1 Read databases::import_status;
    PUT    "/v1/subscriptions/{sid}/databases/{did}/flush"                  P1 Write databases::flush;
    GET    "/v1/subscriptions/{sid}/databases/{did}/certificate"            P1 Read databases::certificate;
    GET    "/v1/subscriptions/{sid}/databases/{did}/slow-log"               P1 Read databases::slow_log;
    GET    "/v1/subscriptions/{sid}/databases/{did}/slowlog"                P1 Read databases::slow_log;
    GET    "/v1/subscriptions/{sid}/databases/{did}/available-target-versions" P1 Read databases::target_versions;
    POST   "/v1/subscriptions/{sid}/databases/{did}/upgrade"                P1 Write databases::upgrade;
    POST   "/v1/subscriptions/{sid}/databases/{did}/upgrade-redis-version"  P1 Write databases::upgrade;
    GET    "/v1/subscriptions/{sid}/databases/{did}/tags"                   P0 Read tags::list;
    PUT    "/v1/subscriptions/{sid}/databases/{did}/tags"                   P0 Write tags::replace;
    POST   "/v1/subscriptions/{sid}/databases/{did}/tags"                   P1 Write tags::create;
    PUT    "/v1/subscriptions/{sid}/databases/{did}/tags/{key}"             P1 Write tags::update;
    DELETE "/v1/subscriptions/{sid}/databases/{did}/tags/{key}"             P1 Write tags::delete;
    GET    "/v1/subscriptions/{sid}/databases/{did}/traffic"                P2 Read absent::not_found;
    PUT    "/v1/subscriptions/{sid}/databases/{did}/regions"                P1 Write absent::update_local;

    // Essentials
    GET    "/v1/fixed/plans"                                                P1 Read fixed::plans;
    GET    "/v1/fixed/plans/{plan}"                                         P1 Read fixed::plan;
    GET    "/v1/fixed/plans/subscriptions/{sid}"                            P1 Read fixed::plans_of_subscription;
    GET    "/v1/fixed/redis-versions"                                       P2 Read subscriptions::redis_versions;
    GET    "/v1/fixed/subscriptions"                                        P1 Read fixed::list;
    POST   "/v1/fixed/subscriptions"                                        P1 Write fixed::create;
    GET    "/v1/fixed/subscriptions/{sid}"                                  P1 Read fixed::get;
    PUT    "/v1/fixed/subscriptions/{sid}"                                  P1 Write fixed::update;
    DELETE "/v1/fixed/subscriptions/{sid}"                                  P1 Write fixed::delete;
    GET    "/v1/fixed/subscriptions/{sid}/databases"                        P1 Read databases::list;
    POST   "/v1/fixed/subscriptions/{sid}/databases"                        P1 Write databases::create;
    GET    "/v1/fixed/subscriptions/{sid}/databases/{did}"                  P1 Read databases::get;
    PUT    "/v1/fixed/subscriptions/{sid}/databases/{did}"                  P1 Write databases::update;
    DELETE "/v1/fixed/subscriptions/{sid}/databases/{did}"                  P1 Write databases::delete;
    POST   "/v1/fixed/subscriptions/{sid}/databases/{did}/backup"           P1 Write databases::backup;
    GET    "/v1/fixed/subscriptions/{sid}/databases/{did}/backup"           P1 Read databases::backup_status;
    GET    "/v1/fixed/subscriptions/{sid}/databases/{did}/backup-status"    P1 Read databases::backup_status;
    POST   "/v1/fixed/subscriptions/{sid}/databases/{did}/import"           P1 Write databases::import;
    GET    "/v1/fixed/subscriptions/{sid}/databases/{did}/import"           P1 Read databases::import_status;
    GET    "/v1/fixed/subscriptions/{sid}/databases/{did}/import-status"    P1 Read databases::import_status;
    GET    "/v1/fixed/subscriptions/{sid}/databases/{did}/slow-log"         P1 Read databases::slow_log;
    GET    "/v1/fixed/subscriptions/{sid}/databases/{did}/slowlog"          P1 Read databases::slow_log;
    GET    "/v1/fixed/subscriptions/{sid}/databases/{did}/available-target-versions" P1 Read databases::target_versions;
    POST   "/v1/fixed/subscriptions/{sid}/databases/{did}/upgrade"          P1 Write databases::upgrade;
    POST   "/v1/fixed/subscriptions/{sid}/databases/{did}/upgrade-redis-version" P1 Write databases::upgrade;
    GET    "/v1/fixed/subscriptions/{sid}/databases/{did}/tags"             P1 Read tags::list;
    PUT    "/v1/fixed/subscriptions/{sid}/databases/{did}/tags"             P1 Write tags::replace;
    POST   "/v1/fixed/subscriptions/{sid}/databases/{did}/tags"             P1 Write tags::create;
    PUT    "/v1/fixed/subscriptions/{sid}/databases/{did}/tags/{key}"       P1 Write tags::update;
    DELETE "/v1/fixed/subscriptions/{sid}/databases/{did}/tags/{key}"       P1 Write tags::delete;
    GET    "/v1/fixed/subscriptions/{sid}/databases/{did}/traffic"          P2 Read absent::not_found;

    // Access control
    GET    "/v1/acl/redisRules"                                             P1 Read acl::rules;
    POST   "/v1/acl/redisRules"                                             P1 Write acl::create_rule;
    PUT    "/v1/acl/redisRules/{id}"                                        P1 Write acl::update_rule;
    DELETE "/v1/acl/redisRules/{id}"                                        P1 Write acl::delete_rule;
    POST   "/v1/acl/redis-rules"                                            P1 Write acl::create_rule;
    PUT    "/v1/acl/redis-rules/{id}"                                       P1 Write acl::update_rule;
    DELETE "/v1/acl/redis-rules/{id}"                                       P1 Write acl::delete_rule;
    GET    "/v1/acl/roles"                                                  P1 Read acl::roles;
    POST   "/v1/acl/roles"                                                  P1 Write acl::create_role;
    PUT    "/v1/acl/roles/{id}"                                             P1 Write acl::update_role;
    DELETE "/v1/acl/roles/{id}"                                             P1 Write acl::delete_role;
    GET    "/v1/acl/users"                                                  P1 Read acl::users;
    POST   "/v1/acl/users"                                                  P1 Write acl::create_user;
    GET    "/v1/acl/users/{id}"                                             P1 Read acl::get_user;
    PUT    "/v1/acl/users/{id}"                                             P1 Write acl::update_user;
    DELETE "/v1/acl/users/{id}"                                             P1 Write acl::delete_user;

    // Not offered
    GET    "/v1/data-integration-workspaces"                                P2 Read absent::data_integration;
    POST   "/v1/endpoint-redirections"                                      P2 Write absent::switched_off;
}

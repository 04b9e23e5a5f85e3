//! Tables of what is accepted, refused and shown.

use std::sync::Arc;

use pilothouse_control::{DatabaseView, SourceStanding};
use pilothouse_model::{
    AclRuleId, BucketName, Database, DatabaseId, Dialect, EngineKind, EngineVersion, EvictionPolicy, FsyncPolicy,
    HostId, Layout, Lifecycle, Lineage, Location, Management, Observation, Persistence, ReplicaSync, RoleBinding,
    Server, ServerId, ServerPorts, Shard, ShardId, SlotRange, SnapshotRule, SyncProgress, TenantId, TlsMode, Transfer,
    TransferKind, TransferPhase, TransferStatus,
};
use serde_json::json;

use super::*;

/// Seals by reversing: enough to tell cipher text from clear text.
struct Fake;

impl Core for Fake {
    fn seal(&self, secret: &Secret) -> Sealed {
        Sealed::from_cipher_text(secret.expose().chars().rev().collect())
    }
    fn open(&self, sealed: &Sealed) -> Result<Secret, Failure> {
        Ok(Secret::new(sealed.cipher_text().chars().rev().collect::<String>()))
    }
    fn generate(&self, length: usize) -> Secret {
        Secret::new("g".repeat(length))
    }
    fn role(&self, uid: u64) -> Option<RoleId> {
        (uid == 5).then(|| RoleId::from_bytes([5; 16]))
    }
    fn acl_rule(&self, uid: u64) -> Option<AclRuleId> {
        (uid == 1).then(|| AclRuleId::from_bytes([1; 16]))
    }
    fn s3_url(&self) -> Option<String> {
        Some("https://s3.example".to_owned())
    }
    fn has_bucket(&self, name: &BucketName) -> bool {
        name.as_str() == "configured"
    }
}

fn engines() -> Vec<InstalledEngine> {
    let engine = |kind, version, compatible| InstalledEngine {
        kind,
        version,
        compatible,
        binary: "/usr/bin/x".into(),
    };
    let version = EngineVersion::new;
    vec![
        engine(EngineKind::Redis, version(7, 0, 15), version(7, 0, 15)),
        engine(EngineKind::Valkey, version(8, 0, 1), version(7, 2, 4)),
    ]
}

fn object(value: Value) -> JsonObject {
    value.as_object().unwrap().clone()
}

fn around<'a>(engines: &'a [InstalledEngine], policy: &'a JsonObject) -> Surroundings<'a> {
    Surroundings {
        engines,
        policy,
        nodes: &[1],
        address: "127.0.0.1".parse().unwrap(),
        cluster_name: "my.cluster",
        now: Timestamp::from_millis(1_760_400_000_000),
        core: &Fake,
    }
}

fn policy() -> JsonObject {
    object(
        json!({"default_provisioned_redis_version": "7.0", "default_shards_placement": "sparse",
        "default_non_sharded_proxy_policy": "all-nodes", "data_internode_encryption": false}),
    )
}

fn created(extra: Value) -> Result<Draft, Failure> {
    let mut body = object(json!({"name": "db1", "memory_size": 1_073_741_824}));
    body.extend(object(extra));
    create(&body, &around(&engines(), &policy()))
}

/// A database as it is after it was created from `draft`.
fn database(draft: &Draft) -> Database {
    let server = Server {
        id: ServerId::from_bytes([9; 16]),
        host: HostId::from_bytes([8; 16]),
        management: Management::Managed,
        version: draft.spec.version,
        ports: ServerPorts::default(),
        management_secret: Sealed::from_cipher_text(String::new()),
        incarnation: 1,
        leaving: false,
        created_at: Timestamp::from_millis(0),
    };
    let lineage = Lineage {
        primary: Some(server.id),
        ..Lineage::default()
    };
    let shard = Shard {
        leaving: false,
        importing: Vec::new(),
        id: ShardId::from_bytes([7; 16]),
        slots: vec![SlotRange::ALL],
        servers: vec![server],
        lineage,
    };
    let mut spec = draft.spec.clone();
    spec.network.port = 12000;
    Database {
        id: DatabaseId::from_bytes([1; 16]),
        tenant: TenantId::from_bytes([2; 16]),
        group: None,
        name: draft.name.clone(),
        origin: Dialect::RedisEnterprise,
        created_at: Timestamp::from_millis(1_760_400_000_000),
        changed_at: Timestamp::from_millis(1_760_400_000_000),
        generation: 1,
        settled_generation: 1,
        spec,
        layout: Layout { shards: vec![shard] },
        replication_secret: Sealed::from_cipher_text(String::new()),
        topology_epoch: 1,
        operation: None,
        was_active: true,
        creation_error: None,
        needs_recovery: false,
        deleted_at: None,
        transfers: Vec::new(),
        conditions: Vec::new(),
    }
}

/// A database without anything special.
pub(crate) fn view() -> DatabaseView {
    view_of(database(&created(json!({})).unwrap()))
}

fn view_of(database: Database) -> DatabaseView {
    DatabaseView {
        database: Arc::new(database),
        lifecycle: Lifecycle::Active,
        operation: None,
        observation: Arc::new(Observation::default()),
    }
}

fn shown(database: Database, document: &JsonObject, secrets: bool) -> Value {
    let view = view_of(database);
    let engines = engines();
    let with = Shown {
        uid: Some(1),
        shard_uid: &|_| 4,
        role_uid: &|_| 5,
        acl_uid: &|_| 1,
        engines: &engines,
        cluster_name: "my.cluster",
        external_addresses: &[],
        source: SourceStanding {
            lost: Some("why".to_owned()),
            heard_at: Some(Timestamp::from_millis(1_760_400_087_000)),
            syncing: false,
            sync: Some(SyncProgress {
                total_bytes: Some(900),
                read_bytes: 30,
            }),
        },
        secrets: if secrets { Some(&Fake) } else { None },
    };
    serde_json::to_value(show(&view, document, &with)).unwrap()
}

/// Creates with `extra`, and gives what a GET then says.
fn round_trip(extra: Value) -> Value {
    let draft = created(extra).unwrap();
    shown(database(&draft), &draft.document, true)
}

fn updated(before: Value, change: Value) -> Result<Draft, Failure> {
    let draft = created(before).unwrap();
    update(
        &object(change),
        &database(&draft),
        1,
        &draft.document,
        &around(&engines(), &policy()),
    )
}

#[test]
fn what_cannot_be_honoured_is_refused_with_its_code() {
    let check = |extra: Value, code: &str| {
        let failure = created(extra.clone()).unwrap_err();
        assert_eq!((failure.status.as_u16(), failure.code), (406, code), "{extra}");
    };
    check(json!({"name": null}), "missing_db_name");
    check(json!({"memory_size": null}), "missing_memory_size");
    check(json!({"type": "memcached"}), "unsupported_database_type");
    check(json!({"crdt": true}), "crdt_not_supported");
    check(json!({"bigstore": true}), "bigstore_not_supported");
    check(json!({"hash_slots_policy": "legacy"}), "invalid_sharding");
    check(
        json!({"hash_slots_policy": "legacy", "oss_cluster": true}),
        "invalid_oss_cluster_configuration",
    );
    check(json!({"oss_cluster": true}), "invalid_oss_cluster_configuration");
    check(json!({"sharding": true}), "invalid_sharding");
    check(json!({"shards_count": 2}), "invalid_sharding");
    check(
        json!({"shard_key_regex": [{"regex": "(?<tag>.*)"}]}),
        "invalid_sharding",
    );
    check(json!({"tls_mode": "replica_ssl"}), "invalid_tls_mode");
    check(
        json!({"client_cert_subject_validation_type": "san_cn"}),
        "invalid_configuration",
    );
    check(json!({"rack_aware": true}), "not_rack_aware");
    check(json!({"module_list": [{"module_name": "search"}]}), "missing_module");
    check(json!({"search": {"x": 1}}), "missing_module");
    check(json!({"redis_version": "6.0"}), "invalid_version");
    check(json!({"redis_version": "7.0.15"}), "invalid_version");
    check(json!({"version": "7.2.0"}), "invalid_version");
    check(
        json!({"replica_sources": [{"uri": "redis://a:1"}, {"uri": "redis://b:1"}]}),
        "invalid_replica_sources",
    );
    check(
        json!({"replica_sources": [{"uri": "tcp://a:1"}]}),
        "invalid_replica_sources",
    );
    check(
        json!({"port": 12000, "replica_sources": [{"uri": "redis://redis-12000.my.cluster:12000"}]}),
        "invalid_replica_sources",
    );
    check(
        json!({"backup": true, "backup_location": {"type": "mount_point", "path": "/b"}}),
        "missing_backup_interval",
    );
    check(
        json!({"backup": true, "backup_interval": 60}),
        "missing_backup_location",
    );
    check(
        json!({"backup_interval": 60, "backup_interval_offset": 60, "backup_location": "/b"}),
        "invalid_configuration",
    );
    for kind in ["sftp", "gs", "abs", "swift"] {
        check(json!({"backup_location": {"type": kind}}), "unsupported_location");
    }
    check(
        json!({"backup_location": {"type": "url", "url": "ftps://h/x"}}),
        "unsupported_location",
    );
    check(json!({"resp3": false}), "invalid_configuration");
    check(json!({"db_conns_auditing": true}), "invalid_configuration");
    check(json!({"eviction_policy": "allkeys-lrm"}), "eviction_policy_violation");
    check(json!({"memory_size": 1000}), "invalid_memory_size");
    check(
        json!({"memory_size": 2_000_000, "replication": true}),
        "replication_size_violation",
    );
    check(json!({"data_persistence": "snapshot"}), "invalid_data_persistence");
    check(
        json!({"data_persistence": "snapshot", "snapshot_policy": []}),
        "invalid_data_persistence",
    );
    check(
        json!({"data_persistence": "snapshot", "snapshot_policy": [{"secs": 0, "writes": 1}]}),
        "invalid_data_persistence",
    );
    check(json!({"proxy_policy": "some"}), "invalid_proxy_policy");
    check(
        json!({"tags": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]}),
        "invalid_bdb_tags",
    );
    check(json!({"avoid_nodes": ["1"]}), "insufficient_resources");
    check(json!({"use_nodes": ["2"]}), "insufficient_resources");
    check(
        json!({"shards_blueprint": [{"slot_range": "0-8191", "nodes": []}]}),
        "bad_shards_blueprint",
    );
    check(
        json!({"roles_permissions": [{"role_uid": 77, "redis_acl_uid": 1}]}),
        "invalid_param",
    );
    check(
        json!({"authentication_ssl_client_certs": [{"client_cert": "x"}]}),
        "invalid_certificate",
    );
}

#[test]
fn wrong_types_and_ranges_name_the_field() {
    let check = |extra: Value, field: &str| {
        let failure = created(extra.clone()).unwrap_err();
        assert_eq!(
            (failure.status.as_u16(), failure.code),
            (400, "invalid_schema"),
            "{extra}"
        );
        assert!(failure.description.contains(field), "{extra}: {}", failure.description);
    };
    check(json!({"memory_size": "1GB"}), "memory_size");
    check(json!({"memory_size": -1}), "memory_size");
    check(json!({"memory_size": 1.5}), "memory_size");
    check(json!({"replication": "yes"}), "replication");
    check(json!({"eviction_policy": "some"}), "eviction_policy");
    check(json!({"port": 80}), "port");
    check(json!({"port": 70000}), "port");
    check(json!({"name": "-a"}), "name");
    check(json!({"name": "a_b"}), "name");
    check(json!({"name": "x".repeat(64)}), "name");
    check(json!({"name": ""}), "name");
    check(json!({"name": 7}), "name");
    check(json!({"shards_count": 0}), "shards_count");
    check(json!({"shards_count": 513}), "shards_count");
    check(json!({"data_persistence": "rdb"}), "data_persistence");
    check(json!({"snapshot_policy": [{"secs": 1}]}), "snapshot_policy");
    check(json!({"sched_policy": "x"}), "sched_policy");
    check(json!({"tags": [{"key": "a"}]}), "tags");
    check(json!({"backup_location": {"path": "/b"}}), "type");
    check(
        json!({"backup_location": {"type": "mount_point", "path": "b"}}),
        "backup_location",
    );
    check(
        json!({"backup_location": {"type": "mount_point", "path": "/b/../etc"}}),
        "backup_location",
    );
    check(json!({"roles_permissions": [{"role_uid": 1}]}), "redis_acl_uid");
    check(json!({"dataset_import_sources": {}}), "dataset_import_sources");
    check(json!({"type": "mongo"}), "type");
    check(json!({"slave_buffer": "a:b"}), "slave_buffer");
}

/// What the generated SDK sends on every POST and PUT that is built from its model.
fn always_sent() -> Value {
    json!({"aof_policy": "appendfsync-every-sec", "backup": false, "backup_history": 0, "bigstore": false, "crdt": false,
        "crdt_causal_consistency": false, "crdt_syncer_auto_oom_unlatch": true, "default_user": true, "email_alerts": false,
        "enforce_client_authentication": "enabled", "gradual_sync_max_shards_per_source": 1, "hash_slots_policy": "16k",
        "implicit_shard_key": false, "internal": false, "max_connections": 0, "memory_size": 0, "mkms": true,
        "oss_cluster": false, "oss_cluster_api_preferred_ip_type": "internal", "oss_sharding": false, "rack_aware": false,
        "replication": false, "shard_block_crossslot_keys": false, "shard_block_foreign_keys": true, "sharding": false,
        "shards_count": 1, "shards_placement": "dense", "ssl": false, "tls_mode": "disabled", "type": "redis",
        "wait_command": true})
}

#[test]
fn what_the_sdk_always_sends_is_accepted_and_changes_no_more_than_it_says() {
    let draft = created(always_sent()).unwrap();
    assert_eq!(draft.spec.memory_bytes, 0);
    let again = update(
        &object(always_sent()),
        &database(&draft),
        1,
        &draft.document,
        &around(&engines(), &policy()),
    )
    .unwrap();
    assert_eq!(again.spec, database(&draft).spec);
    assert_eq!(again.document, draft.document);
}

#[test]
fn a_fresh_database_has_every_field_that_is_always_present() {
    const ALWAYS: &str = "acl active_defrag_cycle_max active_defrag_cycle_min active_defrag_ignore_bytes \
        active_defrag_max_scan_fields active_defrag_threshold_lower active_defrag_threshold_upper activedefrag aof_policy \
        authentication_admin_pass authentication_redis_pass authentication_sasl_pass authentication_sasl_uname \
        authentication_ssl_client_certs authentication_ssl_crdt_certs authorized_subjects auto_upgrade background_op backup \
        backup_failure_reason backup_history backup_interval backup_progress backup_status bigstore bigstore_max_ram_ratio \
        bigstore_ram_size bigstore_version client_cert_subject_validation_type compare_key_hslot conns conns_type crdt \
        crdt_causal_consistency crdt_config_version crdt_ghost_replica_ids crdt_guid crdt_modules crdt_repl_backlog_size \
        crdt_replica_id crdt_replicas crdt_sources crdt_sync crdt_sync_connection_alarm_timeout_seconds crdt_sync_dist \
        crdt_syncer_auto_oom_unlatch crdt_xadd_id_uniqueness_mode created_time data_internode_encryption data_persistence \
        dataset_import_sources db_conns_auditing default_user dns_address_master dns_suffixes email_alerts endpoints \
        eviction_policy export_failure_reason export_progress export_status flush_on_fullsync generate_text_monitor \
        gradual_src_max_sources gradual_src_mode gradual_sync_max_shards_per_source gradual_sync_mode group_uid \
        hash_slots_policy implicit_shard_key import_failure_reason import_progress import_status internal last_changed_time \
        master_persistence max_aof_file_size max_aof_load_time max_client_pipeline max_connections max_pipelined maxclients \
        memory_size metrics_export_all mkms module_list mtls_allow_outdated_certs mtls_allow_weak_hashing multi_commands_opt \
        name oss_cluster oss_cluster_api_preferred_endpoint_type oss_cluster_api_preferred_ip_type oss_sharding port \
        proxy_policy rack_aware recovery_wait_time redis_cluster_enabled redis_version repl_backlog_size replica_read_only \
        replica_sources replica_sync replica_sync_connection_alarm_timeout_seconds replica_sync_dist replication resp3 \
        roles_permissions sched_policy shard_block_crossslot_keys shard_block_foreign_keys shard_key_regex shard_list sharding \
        shards_count shards_placement skip_import_analyze slave_buffer slave_ha slave_ha_priority snapshot_policy ssl status \
        support_syncer_reconf sync sync_dedicated_threads sync_sources syncer_log_level syncer_mode throughput_ingress tls_mode \
        topology_epoch tracking_table_max_keys type uid use_selective_flush version wait_command";
    let bdb = round_trip(json!({}));
    for field in ALWAYS.split_ascii_whitespace() {
        assert!(bdb.get(field).is_some(), "{field}");
    }
    let expected: Value = serde_json::from_str(
        r#"{"name": "db1", "uid": 1, "memory_size": 1073741824, "status": "active", "type": "redis",
        "redis_version": "7.0", "version": "7.0.15", "eviction_policy": "volatile-lru", "replication": false, "shards_count": 1,
        "shard_list": [4], "data_persistence": "disabled", "aof_policy": "appendfsync-every-sec", "snapshot_policy": [],
        "background_op": [{"status": "idle"}], "max_connections": 0, "maxclients": 10000, "tls_mode": "disabled", "ssl": false,
        "default_user": true, "roles_permissions": [], "backup": false, "backup_interval": 86400, "backup_status": "",
        "backup_progress": 0.0, "authentication_redis_pass": "", "shards_placement": "sparse", "proxy_policy": "all-nodes",
        "repl_backlog_size": "auto", "replica_sync": "disabled", "replica_sources": [], "topology_epoch": 1,
        "endpoints": [{"uid": "1:1", "dns_name": "redis-12000.my.cluster", "port": 12000, "addr": ["127.0.0.1"],
            "addr_type": "external", "proxy_policy": "all-nodes", "oss_cluster_api_preferred_ip_type": "internal",
            "oss_cluster_api_preferred_endpoint_type": "ip"}]}"#,
    )
    .unwrap();
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&bdb[field], value, "{field}");
    }
    for field in [
        "tags",
        "action_uid",
        "backup_location",
        "last_backup_time",
        "disabled_commands",
        "engine",
    ] {
        assert!(bdb.get(field).is_none(), "{field}");
    }
    assert_eq!(bdb["authentication_admin_pass"].as_str().unwrap().len(), 48);
}

#[test]
fn fields_with_an_effect_reach_the_spec_and_read_back() {
    let check = |extra: Value, expect: &dyn Fn(&DatabaseSpec) -> bool| {
        let draft = created(extra.clone()).unwrap();
        assert!(expect(&draft.spec), "{extra}: {:?}", draft.spec);
        let bdb = round_trip(extra.clone());
        for (field, value) in extra.as_object().unwrap() {
            assert_eq!(&bdb[field], value, "{field}");
        }
    };
    check(json!({"memory_size": 0}), &|spec| spec.memory_bytes == 0);
    check(json!({"memory_size": 300_000_000, "replication": true}), &|spec| {
        spec.replicas == 1
    });
    check(json!({"eviction_policy": "allkeys-lfu"}), &|spec| {
        spec.eviction == EvictionPolicy::AllkeysLfu
    });
    check(
        json!({"data_persistence": "aof", "aof_policy": "appendfsync-always"}),
        &|spec| {
            spec.persistence
                == Persistence::AppendOnly {
                    fsync: FsyncPolicy::Always,
                }
        },
    );
    check(
        json!({"data_persistence": "snapshot", "snapshot_policy": [{"secs": 60, "writes": 5}]}),
        &|spec| {
            spec.persistence
                == Persistence::Snapshot {
                    rules: vec![SnapshotRule { seconds: 60, writes: 5 }],
                }
        },
    );
    check(json!({"redis_version": "7.2", "version": "7.2.4"}), &|spec| {
        spec.engine == EngineKind::Valkey
    });
    check(json!({"tls_mode": "enabled", "ssl": true}), &|spec| {
        spec.network.tls == TlsMode::Enabled
    });
    check(json!({"ssl": true}), &|spec| spec.network.tls == TlsMode::Enabled);
    check(json!({"tls_mode": "disabled"}), &|spec| {
        spec.network.tls == TlsMode::Disabled
    });
    check(json!({"enforce_client_authentication": "disabled"}), &|spec| {
        !spec.network.client_auth.required
    });
    check(json!({"authentication_redis_pass": "secret"}), &|spec| {
        spec.access.default_passwords.len() == 1
    });
    check(json!({"authentication_admin_pass": "secret"}), &|spec| {
        spec.access.admin_password.cipher_text() == "terces"
    });
    check(json!({"default_user": false}), &|spec| !spec.access.default_user);
    check(
        json!({"roles_permissions": [{"role_uid": 5, "redis_acl_uid": 1}]}),
        &|spec| {
            let bound = RoleBinding {
                role: RoleId::from_bytes([5; 16]),
                rule: AclRuleId::from_bytes([1; 16]),
            };
            spec.access.bindings == [bound]
        },
    );
    check(json!({"disabled_commands": "flushall,keys"}), &|spec| {
        spec.access.disabled_commands == ["flushall", "keys"]
    });
    check(json!({"max_connections": 7}), &|spec| spec.network.max_connections == 7);
    check(json!({"maxclients": 500}), &|spec| spec.tuning["maxclients"] == "500");
    check(json!({"maxclients": 10000}), &|spec| {
        !spec.tuning.contains_key("maxclients")
    });
    check(json!({"max_aof_file_size": 10_000_000}), &|spec| {
        spec.tuning["auto-aof-rewrite-min-size"] == "10000000" && spec.log_limits.max_bytes == 10_000_000
    });
    check(json!({"max_aof_load_time": 60}), &|spec| {
        spec.log_limits.max_load_seconds == 60 && spec.log_limits.max_bytes == 322_122_547_200
    });
    check(json!({"max_aof_file_size": 322_122_547_200_u64}), &|spec| {
        !spec.tuning.contains_key("auto-aof-rewrite-min-size")
    });
    check(json!({"repl_backlog_size": "2mb"}), &|spec| {
        spec.tuning["repl-backlog-size"] == "2mb"
    });
    check(json!({"slave_buffer": "512:128:30"}), &|spec| {
        spec.tuning["client-output-buffer-limit"] == "replica 512mb 128mb 30"
    });
    check(json!({"tracking_table_max_keys": 5}), &|spec| {
        spec.tuning["tracking-table-max-keys"] == "5"
    });
    check(json!({"data_internode_encryption": true}), &|spec| {
        spec.network.encrypt_replication
    });
    check(
        json!({"backup": true, "backup_interval": 3600, "backup_interval_offset": 60, "backup_history": 3,
            "backup_location": {"type": "mount_point", "path": "/backups"}}),
        &|spec| {
            spec.backup
                .as_ref()
                .is_some_and(|backup| backup.enabled && backup.retention_days == 3)
        },
    );
    check(
        json!({"sched_policy": "mnp", "conns": 9, "tags": [{"key": "a", "value": "b"}]}),
        &|_| true,
    );
    check(
        json!({"slave_ha": true, "auto_upgrade": true, "account_id": 4, "replica_sync": "paused"}),
        &|_| true,
    );
}

#[test]
fn replica_of_one_source() {
    let source = json!({"uri": "redis://admin:p%40ss@10.0.0.1:12000", "compression": 3});
    let extra = json!({"replica_sources": [source], "replica_sync": "enabled"});
    let draft = created(extra).unwrap();
    let followed = draft.spec.replica_of.clone().unwrap();
    assert_eq!(
        (followed.host.as_str(), followed.port, followed.username.as_str()),
        ("10.0.0.1", 12000, "admin")
    );
    assert_eq!(followed.sync, ReplicaSync::Enabled);
    assert_eq!(followed.password.unwrap().cipher_text(), "ss@p");
    let bdb = shown(database(&draft), &draft.document, true);
    let source = &bdb["replica_sources"][0];
    assert_eq!(
        (&source["status"], &source["last_error"]),
        (&json!("out-of-sync"), &json!("why"))
    );
    assert_eq!(source["uri"], "redis://admin:p%40ss@10.0.0.1:12000");
    assert_eq!(
        (&source["rdb_size"], &source["rdb_transferred"], &source["last_update"]),
        (&json!(900), &json!(30), &json!("2025-10-14T00:01:27Z"))
    );
    assert_eq!(
        (&source["compression"], &source["status"]),
        (&json!(3), &json!("out-of-sync"))
    );
    let blind = shown(database(&draft), &draft.document, false);
    assert_eq!(blind["replica_sources"][0]["uri"], "redis://admin@10.0.0.1:12000");
    let paused = update(
        &object(json!({"replica_sync": "paused", "replica_sources": blind["replica_sources"]})),
        &database(&draft),
        1,
        &draft.document,
        &around(&engines(), &policy()),
    );
    let paused = paused.unwrap().spec.replica_of.unwrap();
    assert_eq!(paused.sync, ReplicaSync::Paused);
    assert!(paused.password.is_some());
}

#[test]
fn client_certificates_signed_over_a_weak_hash_need_leave() {
    const WEAK: &str = "-----BEGIN CERTIFICATE-----
MIIBdDCCARqgAwIBAgIULQ3bB2fQD4vaTRhZCxJQGqOTaxEwCQYHKoZIzj0EATAP
MQ0wCwYDVQQDDAR3ZWFrMCAXDTI2MTEyMTA5MTg0MVoYDzIxMjYxMDI4MDkxODQx
WjAPMQ0wCwYDVQQDDAR3ZWFrMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAETHtC
OwyT234JAXUWm0tQdiKo0Ceee/BwWiGD+CM1l3cwll2uGkAupHtn83uuvkc69B6b
PvfEyw2MQmwUEcqwo6NTMFEwHQYDVR0OBBYEFLozpWvp0U7sXjMjaeOcvLSlTCy0
MB8GA1UdIwQYMBaAFLozpWvp0U7sXjMjaeOcvLSlTCy0MA8GA1UdEwEB/wQFMAMB
Af8wCQYHKoZIzj0EAQNJADBGAiEA2eSDnIh/stcLpgUQ829Dtt6heeyX5H9XEn/u
nfKqzywCIQDf0xWCmtyb2FeiRZubrBcPpl2SvOCnyYQDt3lrMaL4wg==
-----END CERTIFICATE-----";
    let clients = json!([{"client_cert": WEAK}]);
    let refused = created(json!({"authentication_ssl_client_certs": clients})).unwrap_err();
    assert_eq!(refused.code, "invalid_certificate");
    let draft = created(json!({"authentication_ssl_client_certs": clients, "mtls_allow_weak_hashing": true})).unwrap();
    assert_eq!(draft.spec.network.client_auth.trusted, [WEAK]);
}

#[test]
fn a_source_that_was_stopped_stays_so_until_somebody_asks() {
    let source = json!({"uri": "redis://:pw@h:1"});
    let draft = created(json!({"replica_sources": [source], "replica_sync": "enabled"})).unwrap();
    let mut present = database(&draft);
    present.spec.replica_of.as_mut().unwrap().sync = ReplicaSync::Stopped;
    let bdb = shown(present.clone(), &draft.document, true);
    assert_eq!(
        (&bdb["replica_sync"], &bdb["sync"]),
        (&json!("stopped"), &json!("stopped"))
    );
    let check = |body: Value, expected: ReplicaSync| {
        let (engines, policy) = (engines(), policy());
        let draft = update(
            &object(body.clone()),
            &present,
            1,
            &draft.document,
            &around(&engines, &policy),
        );
        assert_eq!(draft.unwrap().spec.replica_of.unwrap().sync, expected, "{body}");
    };
    check(json!({"max_connections": 4}), ReplicaSync::Stopped);
    check(json!({"replica_sources": [source]}), ReplicaSync::Stopped);
    check(json!({"replica_sync": "stopped"}), ReplicaSync::Stopped);
    check(bdb, ReplicaSync::Stopped);
    check(json!({"replica_sync": "paused"}), ReplicaSync::Paused);
    check(json!({"replica_sync": "enabled"}), ReplicaSync::Enabled);
    check(
        json!({"replica_sources": [{"uri": "redis://:pw@other:1"}]}),
        ReplicaSync::Enabled,
    );
}

#[test]
fn a_source_is_encrypted_by_either_word_and_cannot_widen_whom_clients_are_trusted_by() {
    let certificate = pilothouse_api::self_signed("h", &[], &[], Timestamp::from_millis(1_760_400_087_000)).unwrap();
    let source = |uri: &str, encryption: Value| json!({"uri": uri, "server_cert": certificate.certificate, "encryption": encryption});
    for (uri, encryption, tls) in [
        ("redis://h:1", json!(true), true),
        ("rediss://h:1", json!(false), true),
        ("redis://h:1", Value::Null, false),
    ] {
        let draft = created(json!({"replica_sources": [source(uri, encryption)]})).unwrap();
        assert_eq!(draft.spec.replica_of.as_ref().unwrap().tls, tls, "{uri}");
        assert_eq!(
            shown(database(&draft), &draft.document, true)["replica_sources"][0]["encryption"],
            tls
        );
    }
    let clients = json!({"replica_sources": [source("rediss://h:1", Value::Null)], "tls_mode": "enabled",
        "authentication_ssl_client_certs": [{"client_cert": certificate.certificate}]});
    assert_eq!(created(clients).unwrap_err().code, "invalid_replica_sources");
}

#[test]
fn the_object_that_a_get_gives_can_be_put_back() {
    let before = json!({"authentication_redis_pass": "secret", "replication": true, "data_persistence": "aof",
        "backup": true, "backup_interval": 3600, "backup_location": {"type": "url", "url": "ftp://u:p@host/dir"},
        "replica_sources": [{"uri": "redis://:pw@h:1"}], "replica_sync": "enabled", "sched_policy": "mnp", "maxclients": 77,
        "slave_buffer": "512:128:30", "roles_permissions": [{"role_uid": 5, "redis_acl_uid": 1}]});
    let draft = created(before).unwrap();
    let present = database(&draft);
    let bdb = shown(present.clone(), &draft.document, true);
    assert_eq!(bdb["backup_location"]["url"], "ftp://host/dir");
    let again = update(
        &object(bdb),
        &present,
        1,
        &draft.document,
        &around(&engines(), &policy()),
    )
    .unwrap();
    assert_eq!(again.spec, present.spec);
}

#[test]
fn a_put_changes_only_what_it_says() {
    let draft = updated(
        json!({"data_persistence": "aof", "authentication_redis_pass": "a"}),
        json!({"memory_size": 5_000_000}),
    )
    .unwrap();
    assert_eq!(draft.spec.memory_bytes, 5_000_000);
    assert_eq!(
        draft.spec.persistence,
        Persistence::AppendOnly {
            fsync: FsyncPolicy::EverySecond
        }
    );
    assert_eq!(draft.spec.access.default_passwords.len(), 1);
    let off = updated(
        json!({"authentication_redis_pass": "a"}),
        json!({"authentication_redis_pass": ""}),
    )
    .unwrap();
    assert!(off.spec.access.default_passwords.is_empty());
    let remembered = updated(
        json!({"data_persistence": "disabled", "snapshot_policy": {"secs": 9, "writes": 1}}),
        json!({"data_persistence": "snapshot"}),
    );
    assert_eq!(
        remembered.unwrap().spec.persistence,
        Persistence::Snapshot {
            rules: vec![SnapshotRule { seconds: 9, writes: 1 }]
        }
    );
    let sent_back_untyped = updated(
        json!({"data_persistence": "snapshot", "snapshot_policy": [{"secs": 9, "writes": 1}]}),
        json!({"data_persistence": "snapshot", "snapshot_policy": {}}),
    );
    assert_eq!(
        sent_back_untyped.unwrap().spec.persistence,
        Persistence::Snapshot {
            rules: vec![SnapshotRule { seconds: 9, writes: 1 }]
        }
    );
}

#[test]
fn the_alias_of_persistence_counts_unless_the_field_itself_is_sent() {
    let word = |extra| super::persistence::word(&created(extra).unwrap().spec.persistence);
    assert_eq!(word(json!({"persistence": "aof"})), "aof");
    assert_eq!(
        word(json!({"persistence": "aof", "data_persistence": "disabled"})),
        "disabled"
    );
    assert!(round_trip(json!({"persistence": "aof"})).get("persistence").is_none());
}

#[test]
fn what_is_fixed_may_be_repeated_but_not_changed() {
    let same = json!({"port": 12000, "version": "7.0.15", "redis_version": "7.0", "uid": 1, "type": "redis"});
    assert!(updated(json!({}), json!({"port": 0})).is_ok());
    assert!(updated(json!({}), same).is_ok());
    for change in [
        json!({"port": 12001}),
        json!({"redis_version": "7.2"}),
        json!({"version": "7.0.14"}),
        json!({"uid": 2}),
        json!({"replica_read_only": true}),
    ] {
        let failure = updated(json!({}), change.clone()).unwrap_err();
        assert_eq!(
            (failure.status.as_u16(), failure.code),
            (406, "invalid_configuration"),
            "{change}"
        );
    }
    assert_eq!(
        updated(json!({}), json!({"rack_aware": true})).unwrap_err().code,
        "rack_awareness_violation"
    );
}

#[test]
fn passwords_and_import_sources_never_stand_in_the_document() {
    let draft = created(
        json!({"authentication_redis_pass": "s3cret", "dataset_import_sources": [{"type": "url", "url": "http://u:s3cret@h/f"}],
        "replica_sources": [{"uri": "redis://:s3cret@h:1"}], "backup_location": "ftp://u:s3cret@h/d"}),
    );
    let draft = draft.unwrap();
    assert!(!serde_json::to_string(&draft.document).unwrap().contains("s3cret"));
    let bdb = shown(database(&draft), &draft.document, false);
    assert!(!bdb.to_string().contains("s3cret"));
    assert_eq!(
        (&bdb["authentication_redis_pass"], &bdb["authentication_admin_pass"]),
        (&json!(""), &json!(""))
    );
    assert_eq!(bdb["dataset_import_sources"], json!([]));
}

#[test]
fn buckets_have_a_key_of_their_own_or_are_configured() {
    let read = |value: &Value, purpose, present: Option<&Location>| location(value, "f", purpose, &Fake, present);
    let asked = json!({"type": "s3", "bucket_name": "b", "subdir": "/a/b/", "filename": "x.rdb.gz",
        "access_key_id": "key", "secret_access_key": "hush", "region_name": "eu-west-1"});
    let Location::S3 {
        path,
        access: Some(access),
        ..
    } = read(&asked, Purpose::Read, None).unwrap()
    else {
        panic!("a bucket")
    };
    assert_eq!(path.as_str(), "a/b/x.rdb.gz");
    assert_eq!(
        (access.endpoint.as_str(), access.region.as_str()),
        ("https://s3.example", "eu-west-1")
    );
    let written = read(&asked, Purpose::Write, None).unwrap();
    let shown = super::location::show(&written);
    assert_eq!(
        (&shown["subdir"], &shown["secret_access_key"]),
        (&json!("a/b"), &json!(""))
    );
    assert!(!format!("{written:?}").contains("hush"));
    assert_eq!(read(&shown, Purpose::Write, Some(&written)).unwrap(), written);
    assert_eq!(read(&asked, Purpose::Write, Some(&written)).unwrap(), written);

    let configured = json!({"type": "s3", "bucket_name": "configured"});
    let found = read(&configured, Purpose::Write, None).unwrap();
    assert_eq!(found.shown(), "s3://configured/");
    assert_eq!(
        super::location::show(&found),
        json!({"type": "s3", "bucket_name": "configured", "subdir": ""})
    );
    for (name, value) in [
        ("bucket_name", json!("no bucket")),
        ("bucket_name", json!(null)),
        ("subdir", json!("a/../b")),
        ("subdir", json!(7)),
        ("filename", json!("")),
        ("access_key_id", json!("")),
        ("secret_access_key", json!("")),
        ("secret_access_key", json!("hu\nsh")),
    ] {
        let mut wrong = asked.clone();
        wrong[name] = value;
        let failure = read(&wrong, Purpose::Read, None).unwrap_err();
        assert_eq!(failure.code, "invalid_schema", "{wrong}");
    }
}

#[test]
fn locations_are_read_in_all_their_forms() {
    let read = |value: Value, purpose| location(&value, "f", purpose, &Fake, None);
    let directory = Location::Directory { path: "/a/b".into() };
    assert_eq!(
        read(json!({"type": "mount_point", "path": "/a/b"}), Purpose::Write).unwrap(),
        directory
    );
    assert_eq!(read(json!("/a/b"), Purpose::Write).unwrap(), directory);
    match read(json!("https://u:p@h:8080/x.rdb.gz?q"), Purpose::Read).unwrap() {
        Location::Url { shown, url } => {
            assert_eq!(shown, "https://h:8080/x.rdb.gz?q");
            assert_eq!(Fake.open(&url).unwrap().expose(), "https://u:p@h:8080/x.rdb.gz?q");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        read(json!("http://h/x"), Purpose::Write).unwrap_err().code,
        "unsupported_location"
    );
    assert_eq!(
        read(json!({"type": "url", "url": "redis://h:1"}), Purpose::Read)
            .unwrap_err()
            .code,
        "unsupported_location"
    );
    for bad in [
        json!(7),
        json!({}),
        json!({"type": "what"}),
        json!("ftp://"),
        json!("a b"),
        json!({"type": "url"}),
        json!("ftp://a b/"),
    ] {
        assert_eq!(
            read(bad.clone(), Purpose::Write).unwrap_err().code,
            "invalid_schema",
            "{bad}"
        );
    }
}

#[test]
fn an_acknowledged_transfer_is_not_shown_but_when_it_last_succeeded_is() {
    let draft = created(json!({})).unwrap();
    let at = Timestamp::from_millis(1_760_400_000_000);
    let transfer = |acknowledged| Transfer {
        kind: TransferKind::Backup,
        locations: Vec::new(),
        skip_size_check: false,
        confined: false,
        status: TransferStatus {
            phase: TransferPhase::Succeeded,
            progress: 100,
            failure: None,
            started_at: at,
            ended_at: Some(at),
            acknowledged,
        },
        last_success_at: Some(at),
        replacement: None,
    };
    let with = |acknowledged| {
        let mut database = database(&draft);
        database.transfers = vec![transfer(acknowledged)];
        shown(database, &draft.document, false)
    };
    let (before, after) = (with(false), with(true));
    assert_eq!(
        (&before["backup_status"], &before["backup_progress"]),
        (&json!("succeeded"), &json!(100.0))
    );
    assert_eq!(
        (&after["backup_status"], &after["backup_progress"]),
        (&json!(""), &json!(0.0))
    );
    assert_eq!(
        (&before["last_backup_time"], &after["last_backup_time"]),
        (&json!("2025-10-14T00:00:00Z"), &json!("2025-10-14T00:00:00Z"))
    );
}

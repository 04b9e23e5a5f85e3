//! Any sequence of writes: the view and its indexes agree with the records, and with a view that is built from the file alone.

use pilothouse_model::{
    AclRuleId, Database, DatabaseName, Document, ManagementRole, Operation, OperationPhase, OperationResult,
    RoleBinding, RoleId, ServerPorts, Subject, TenantId, Timestamp, User, UserId, UserStatus,
};
use pilothouse_store::{Record, Setting, Store, StoreError, Transaction, Urgency};
use proptest::prelude::*;

use crate::storage::Tape;
use crate::support::{UID, check_indexes, database, document, draft, dump, operation, setting};

/// One write. Numbers pick from small ranges, so that sequences meet themselves.
#[derive(Clone, Debug)]
enum Step {
    CreateDatabase {
        tenant: u8,
        name: u8,
        port: u8,
    },
    ChangeDatabase {
        which: u8,
        name: u8,
        port: u8,
        binding: Option<(u8, u8)>,
        tls_port: u8,
    },
    DeleteDatabase {
        which: u8,
    },
    StartOperation {
        which: u8,
    },
    EndOperation {
        which: u8,
    },
    PutUser {
        which: u8,
        email: u8,
        name: u8,
        role: u8,
    },
    DeleteUser {
        which: u8,
    },
    PutDocument {
        which: u8,
        kind: u8,
    },
    Allocate {
        which: u8,
    },
    Assign {
        which: u8,
        number: u8,
    },
    AppendEvent,
    PutSetting {
        which: u8,
    },
    DeleteSetting {
        which: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3_u8, 0..4_u8, 0..4_u8).prop_map(|(tenant, name, port)| Step::CreateDatabase { tenant, name, port }),
        3 => (0..8_u8, 0..4_u8, 0..4_u8, proptest::option::of((0..3_u8, 0..3_u8)), 0..3_u8).prop_map(
            |(which, name, port, binding, tls_port)| Step::ChangeDatabase { which, name, port, binding, tls_port }
        ),
        1 => (0..8_u8).prop_map(|which| Step::DeleteDatabase { which }),
        2 => (0..8_u8).prop_map(|which| Step::StartOperation { which }),
        1 => (0..8_u8).prop_map(|which| Step::EndOperation { which }),
        2 => (0..4_u8, 0..3_u8, 0..3_u8, 0..3_u8)
            .prop_map(|(which, email, name, role)| Step::PutUser { which, email, name, role }),
        1 => (0..4_u8).prop_map(|which| Step::DeleteUser { which }),
        1 => (0..8_u8, 0..3_u8).prop_map(|(which, kind)| Step::PutDocument { which, kind }),
        1 => (0..8_u8).prop_map(|which| Step::Allocate { which }),
        1 => (0..8_u8, 0..20_u8).prop_map(|(which, number)| Step::Assign { which, number }),
        1 => Just(Step::AppendEvent),
        1 => (0..3_u8).prop_map(|which| Step::PutSetting { which }),
        1 => (0..3_u8).prop_map(|which| Step::DeleteSetting { which }),
    ]
}

/// The `which`th record, counted round.
fn pick<R: Record>(tx: &Transaction<'_>, which: u8) -> Option<R> {
    let count = tx.view().count::<R>();
    let at = usize::from(which) % count.max(1);
    tx.view()
        .all::<R>()
        .nth(at)
        .map(|stored| stored.record.as_ref().clone())
}

fn role(n: u8) -> RoleId {
    RoleId::from_bytes([n; 16])
}

fn apply(tx: &mut Transaction<'_>, step: &Step) {
    match *step {
        Step::CreateDatabase { tenant, name, port } => {
            tx.put(database(
                TenantId::from_bytes([tenant; 16]),
                &format!("db{name}"),
                12_000 * u16::from(port % 2),
            ));
        }
        Step::ChangeDatabase {
            which,
            name,
            port,
            binding,
            tls_port,
        } => {
            let Some(mut database) = pick::<Database>(tx, which) else {
                return;
            };
            database.name = DatabaseName::parse(format!("db{name}")).unwrap();
            database.spec.network.port = 12_000 + u16::from(port);
            database
                .spec
                .access
                .bindings
                .extend(binding.map(|(holder, rule)| RoleBinding {
                    role: role(holder),
                    rule: AclRuleId::from_bytes([rule; 16]),
                }));
            if tls_port == 0 {
                database.spec.access.bindings.clear();
                database.layout.shards[0].servers.truncate(1);
            } else {
                database.layout.shards[0].servers[0].ports = ServerPorts {
                    bus: 0,
                    plain: 20_000,
                    tls: u16::from(tls_port),
                };
            }
            tx.put(database);
        }
        Step::DeleteDatabase { which } => {
            let Some(database) = pick::<Database>(tx, which) else {
                return;
            };
            let subject = Subject::Database(database.id);
            tx.delete::<Database>(&database.id);
            tx.delete_documents_of(&subject);
            tx.release_wire_ids(&subject);
        }
        Step::StartOperation { which } => {
            let Some(database) = pick::<Database>(tx, which) else {
                return;
            };
            tx.put(operation(database.tenant, Subject::Database(database.id)));
        }
        Step::EndOperation { which } => {
            let Some(mut operation) = pick::<Operation>(tx, which) else {
                return;
            };
            operation.phase = OperationPhase::Processed;
            operation.result = Some(OperationResult::Succeeded);
            tx.put(operation);
        }
        _ => apply_other(tx, step),
    }
}

fn apply_other(tx: &mut Transaction<'_>, step: &Step) {
    let subject_of = |tx: &Transaction<'_>, which| pick::<Database>(tx, which).map(|found| Subject::Database(found.id));
    match *step {
        Step::PutUser {
            which,
            email,
            name,
            role: holder,
        } => tx.put(User {
            id: UserId::from_bytes([which; 16]),
            tenant: None,
            email: if email == 0 {
                String::new()
            } else {
                format!("User{email}@example.com")
            },
            name: if name == 0 {
                String::new()
            } else {
                format!("user{name}@example.com")
            },
            management: ManagementRole::None,
            roles: (0..holder).map(role).collect(),
            passwords: Vec::new(),
            status: UserStatus::Active,
            created_at: Timestamp::from_millis(0),
        }),
        Step::DeleteUser { which } => tx.delete::<User>(&UserId::from_bytes([which; 16])),
        Step::PutDocument { which, kind } => {
            let Some(subject) = subject_of(tx, which) else { return };
            tx.put(document(subject, &format!("kind{kind}"), 10));
        }
        Step::Allocate { which } => {
            let Some(subject) = subject_of(tx, which) else { return };
            tx.allocate_number(UID, 1, subject);
        }
        Step::Assign { which, number } => {
            let Some(subject) = subject_of(tx, which) else { return };
            let _ = tx.assign(UID, subject, u64::from(number).into());
        }
        Step::AppendEvent => {
            tx.append_event(Timestamp::from_millis(1), draft(Subject::Installation));
        }
        Step::PutSetting { which } => tx.put(setting(&which.to_string(), which)),
        Step::DeleteSetting { which } => tx.delete::<Setting>(&which.to_string()),
        _ => unreachable!("handled by `apply`"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_view_is_what_the_file_says(transactions in prop::collection::vec((prop::collection::vec(step(), 1..6), any::<bool>()), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let tape = Tape::default();
            let store = Store::with_backend(tape.clone()).unwrap();
            for (steps, agreed) in &transactions {
                let before = dump(&store.view());
                let answer = store.transact(Urgency::Normal, |tx| {
                    steps.iter().for_each(|step| apply(tx, step));
                    check_indexes(tx.view());
                    if *agreed { Ok(()) } else { Err(()) }
                }).await;
                prop_assert_eq!(answer.is_ok(), *agreed);
                if !agreed {
                    prop_assert_eq!(dump(&store.view()), before);
                }
            }
            let view = store.view();
            check_indexes(&view);
            // As after `kill -9`: the file was never closed in order.
            let crashed = Store::with_backend(Tape::with_data(tape.data())).unwrap();
            check_indexes(&crashed.view());
            prop_assert_eq!(dump(&crashed.view()), dump(&view));
            prop_assert_eq!(crashed.view().count::<Document>(), view.count::<Document>());
            store.close().await.map_err(|error: StoreError| TestCaseError::fail(error.to_string()))
        })?;
    }
}

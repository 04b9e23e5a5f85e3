//! Transfers in the simulated world: what they lead to, and what they never damage.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pilothouse_model::{Database, DatabaseId, Location, OperationResult, Transfer, TransferKind, TransferPhase};

use super::harness::{Harness, Wanted};
use super::in_runtime;
use crate::{RequestOptions, TransferRequest, fault};

/// More crash points than any transfer has.
const POINTS_MAX: u64 = 200;

const KINDS: [Wanted; 3] = [
    Wanted {
        replicas: 0,
        persistent: false,
    },
    Wanted {
        replicas: 1,
        persistent: false,
    },
    Wanted {
        replicas: 1,
        persistent: true,
    },
];

impl Harness {
    async fn with_writes(&mut self, wanted: Wanted, writes: usize) -> DatabaseId {
        let id = self.create(wanted).await;
        self.settle(id).await;
        for _ in 0..writes {
            self.world.write(id).expect("acknowledged");
        }
        id
    }

    async fn ask(&self, id: DatabaseId, kind: TransferKind, path: &Path) {
        let request = TransferRequest {
            locations: vec![Location::Directory { path: path.to_owned() }],
            skip_size_check: false,
        };
        let (control, caller, options) = (self.control(), self.caller(), RequestOptions::PROCESSED);
        let asked = match kind {
            TransferKind::Import => control.import_database(&caller, id, request, options).await,
            TransferKind::Export => control.export_database(&caller, id, request, options).await,
            TransferKind::Backup => unreachable!("asked for by the schedule only"),
        };
        asked.expect("asked for");
    }

    async fn export(&mut self, id: DatabaseId) -> PathBuf {
        let directory = self.files.path().join(format!("backups-{id}"));
        std::fs::create_dir_all(&directory).expect("a directory");
        self.ask(id, TransferKind::Export, &directory).await;
        self.transfer(id).await;
        assert_eq!(
            self.last(id, TransferKind::Export).status.phase,
            TransferPhase::Succeeded
        );
        only_file(&directory)
    }

    fn last(&self, id: DatabaseId, kind: TransferKind) -> Transfer {
        self.record(id).transfer(kind).expect("it was asked for").clone()
    }

    fn failure(&self, id: DatabaseId, kind: TransferKind) -> String {
        let status = self.last(id, kind).status;
        assert_eq!(status.phase, TransferPhase::Failed);
        status.failure.expect("a failure has a reason").0
    }

    /// Nothing of a transfer is left but its record.
    fn assert_clean(&self, id: DatabaseId) {
        let record: Arc<Database> = self.record(id);
        assert_eq!(record.operation, None);
        assert!(record.transfers.iter().all(|transfer| transfer.replacement.is_none()));
        let scratch = self.files.path().join("scratch");
        assert_eq!(
            std::fs::read_dir(scratch).expect("readable").count(),
            0,
            "scratch files are left"
        );
        let servers: usize = self
            .control()
            .databases(&self.caller())
            .iter()
            .map(|shown| shown.database.layout.servers().count())
            .sum();
        assert_eq!(
            self.world.lock().servers.len(),
            servers,
            "a server of an import is left"
        );
    }
}

fn only_file(directory: &Path) -> PathBuf {
    let files: Vec<_> = std::fs::read_dir(directory)
        .expect("readable")
        .map(|entry| entry.expect("readable").path())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[test]
fn what_was_exported_is_imported_elsewhere() {
    for (from, to) in [(0, 0), (0, 1), (1, 2), (2, 1), (2, 2)] {
        in_runtime(async {
            let mut harness = Harness::new().await;
            let source = harness.with_writes(KINDS[from], 5).await;
            let file = harness.export(source).await;
            let expected = harness.world.read(source).expect("readable");
            let target = harness.with_writes(KINDS[to], 3).await;
            harness.ask(target, TransferKind::Import, &file).await;
            harness.transfer(target).await;
            let last = harness.last(target, TransferKind::Import);
            assert_eq!(last.status.phase, TransferPhase::Succeeded, "{:?}", last.status.failure);
            assert!(last.last_success_at.is_some());
            harness.settle(target).await;
            assert_eq!(harness.world.read(target), Some(expected.clone()));
            harness.assert_clean(target);
            // A failover keeps what was imported.
            if KINDS[to].replicas > 0 {
                harness.world.kill(harness.servers(target).0);
                harness.settle(target).await;
                assert_eq!(harness.world.read(target), Some(expected));
            }
        });
    }
}

#[test]
fn an_import_into_its_own_source_brings_the_old_state_back() {
    in_runtime(async {
        let mut harness = Harness::new().await;
        let id = harness.with_writes(KINDS[1], 4).await;
        let file = harness.export(id).await;
        let before = harness.world.read(id);
        for _ in 0..3 {
            harness.world.write(id).expect("acknowledged");
        }
        harness.ask(id, TransferKind::Import, &file).await;
        harness.transfer(id).await;
        harness.settle(id).await;
        assert_eq!(harness.world.read(id), before);
    });
}

#[test]
fn a_file_that_cannot_be_used_leaves_the_old_data() {
    in_runtime(async {
        let mut harness = Harness::new().await;
        let id = harness.with_writes(KINDS[1], 3).await;
        let before = harness.world.read(id);
        let file = harness.files.path().join("damaged.rdb");
        std::fs::write(&file, "no snapshot").expect("written");
        let missing = harness.files.path().join("missing.rdb");
        for (path, word) in [(&file, "file-corrupted"), (&missing, "download-error")] {
            harness.ask(id, TransferKind::Import, path).await;
            harness.transfer(id).await;
            assert_eq!(harness.failure(id, TransferKind::Import), word);
            harness.settle(id).await;
            assert_eq!(harness.world.read(id), before);
            harness.assert_clean(id);
        }
        let operations = harness.control().operations_of(&harness.caller(), id);
        assert!(
            matches!(&operations[0].result, Some(OperationResult::Failed { code, .. }) if code == "download-error")
        );
    });
}

#[test]
fn data_that_need_more_memory_than_there_is_are_refused() {
    in_runtime(async {
        let mut harness = Harness::new().await;
        let id = harness.with_writes(KINDS[0], 10).await;
        let file = harness.export(id).await;
        harness.world.write(id).expect("acknowledged");
        let before = harness.world.read(id);
        harness.world.lock().write_bytes = 10 << 20;
        harness.ask(id, TransferKind::Import, &file).await;
        harness.transfer(id).await;
        let expected = format!("file-larger-than-mem-limit:{}:{}", (1 << 20) + (100 << 20), 100 << 20);
        assert_eq!(harness.failure(id, TransferKind::Import), expected);
        assert_eq!(harness.world.read(id), before);
        harness.assert_clean(id);
    });
}

#[test]
fn an_export_to_nowhere_fails_with_the_reason() {
    in_runtime(async {
        let mut harness = Harness::new().await;
        let id = harness.with_writes(KINDS[0], 1).await;
        let missing = harness.files.path().join("missing");
        harness.ask(id, TransferKind::Export, &missing).await;
        harness.transfer(id).await;
        assert_eq!(harness.failure(id, TransferKind::Export), "wrong-file-path");
        harness.assert_clean(id);
        let events = harness
            .control()
            .events(&harness.caller(), &crate::EventFilter::default());
        let kinds: Vec<_> = events.iter().map(|event| event.what.kind.as_str()).collect();
        assert!(kinds.ends_with(&["export-started", "export-failed"]), "{kinds:?}");
        assert_eq!(events.last().expect("events").what.actor, "user:test");
    });
}

#[test]
fn a_transfer_of_a_deleted_database_ends_without_a_word() {
    in_runtime(async {
        let mut harness = Harness::new().await;
        let id = harness.with_writes(KINDS[1], 2).await;
        let file = harness.export(id).await;
        harness.ask(id, TransferKind::Import, &file).await;
        // Lost in the middle, then deleted, then taken up again.
        fault::arm(Some(12));
        harness.transfer(id).await;
        fault::arm(None);
        harness.delete(id).await;
        harness.transfer(id).await;
        harness.assert_nothing_left();
    });
}

#[test]
fn a_primary_that_dies_of_an_import_takes_no_data_along() {
    for point in 0..POINTS_MAX {
        let reached = in_runtime(async {
            let mut harness = Harness::new().await;
            let id = harness.with_writes(KINDS[2], 3).await;
            let file = harness.export(id).await;
            let new = harness.world.read(id).expect("readable");
            harness.world.write(id).expect("acknowledged");
            let old = harness.world.read(id).expect("readable");
            harness.ask(id, TransferKind::Import, &file).await;
            fault::arm(Some(point));
            let reached = harness.transfer(id).await;
            fault::arm(None);
            harness.world.kill(harness.servers(id).0);
            harness.transfer(id).await;
            harness.settle(id).await;
            let read = harness.world.read(id).expect("readable");
            let phase = harness.last(id, TransferKind::Import).status.phase;
            assert!(read == old || read == new, "point {point}: {read:?}");
            if phase == TransferPhase::Succeeded {
                assert_eq!(read, new, "point {point}");
            }
            harness.assert_clean(id);
            reached
        });
        if !reached {
            return;
        }
    }
    panic!("more than {POINTS_MAX} crash points: an import does not end");
}

/// The control plane is lost at every crash point of a transfer in turn; it must be done all the same, once, and leave nothing behind.
fn crash_everywhere(kind: TransferKind) {
    for point in 0..POINTS_MAX {
        let reached = in_runtime(async {
            let mut harness = Harness::new().await;
            let id = harness.with_writes(KINDS[1], 3).await;
            let file = harness.export(id).await;
            let expected = harness.world.read(id);
            let path = match kind {
                TransferKind::Import => {
                    harness.world.write(id).expect("acknowledged");
                    file.clone()
                }
                TransferKind::Export | TransferKind::Backup => {
                    std::fs::remove_file(&file).expect("removed");
                    file.parent().expect("a directory").to_owned()
                }
            };
            harness.ask(id, kind, &path).await;
            fault::arm(Some(point));
            let reached = harness.transfer(id).await;
            fault::arm(None);
            harness.transfer(id).await;
            let last = harness.last(id, kind);
            assert_eq!(
                last.status.phase,
                TransferPhase::Succeeded,
                "point {point}: {:?}",
                last.status.failure
            );
            harness.settle(id).await;
            assert_eq!(harness.world.read(id), expected, "point {point}");
            harness.assert_clean(id);
            only_file(file.parent().expect("a directory"));
            reached
        });
        if !reached {
            return;
        }
    }
    panic!("more than {POINTS_MAX} crash points: the transfer does not end");
}

#[test]
fn an_export_survives_the_loss_of_the_control_plane_everywhere() {
    crash_everywhere(TransferKind::Export);
}

#[test]
fn an_import_survives_the_loss_of_the_control_plane_everywhere() {
    crash_everywhere(TransferKind::Import);
}

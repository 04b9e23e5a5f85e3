//! Durable state: what Pilothouse knows, on disk before anybody is told.
//!
//! **What it does.** [`Store::transact`] runs a closure against the newest planned state, takes its writes as one atomic
//! transaction and resolves when they are on disk; one writer thread lets concurrent transactions share an fsync.
//! [`Store::view`] gives the durable state as an immutable [`View`] with every index, without touching the disk.
//! Beside the records of `model` it keeps the id maps ([`WireId`]), the counters behind them, and the event log.
//!
//! **Who calls it.** `control`, and nobody else.
//!
//! **What it never does.** It judges nothing: it checks no name, frees no port and removes no record on its own (only
//! events beyond [`Options::events_max`] go by themselves). It sees no secret in clear. It does not retry and does not wait for space.
//! It takes no lock on the data directory: the caller holds it, so that this process is the only writer.
//!
//! **Where to start reading.** [`Store`] (`store.rs`) and [`Transaction`] (`transaction.rs`) are the way in; `writer.rs` forms the
//! batches; `backend.rs` is the contract with the disk and `backend_redb.rs` its embedded implementation; `view.rs` and
//! `nouns/` hold the indexes; `format.rs` the format version and its migrations.
//!
//! # On disk
//!
//! Rows live in one ordered key space: a key is the number of its [`Table`] and the id, a value is the revision (eight bytes, big endian)
//! that wrote it and the record as JSON. JSON because it describes itself: a migration reads an old row without the old types, and a person
//! can read a damaged file. One format number, kept beside the rows, speaks for all of them.

mod backend;
mod backend_redb;
mod error;
mod event;
mod format;
mod load;
mod medium;
mod nouns;
mod record;
mod store;
mod transaction;
mod view;
mod wire_id;
mod writer;

pub use error::{StoreError, TransactError, WireIdTaken};
pub use nouns::operation::Lane;
pub use nouns::setting::Setting;
pub use record::{Record, RecordId, Revision, Stored, Table};
pub use store::{Options, Store, Urgency};
pub use transaction::Transaction;
pub use view::View;
pub use wire_id::WireId;

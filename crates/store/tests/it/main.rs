//! The store as its callers see it, on real files and on storage that fails.

mod consistency;
mod disk_faults;
mod power_loss;
mod storage;
mod support;
mod transactions;
mod wire_ids;

//! The store as its callers see it, on real files and on storage that fails.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stop at the first fault, as tests do"
)]

mod consistency;
mod disk_faults;
mod power_loss;
mod storage;
mod support;
mod transactions;
mod wire_ids;

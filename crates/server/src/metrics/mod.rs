//! Metrics for Prometheus: what the installation is and does, as numbers, at `listen.metrics`.
//!
//! `collect` gathers them when somebody asks, `page` answers requests, `text` writes the format. Every metric is explained in
//! `docs/operations.md`.

mod collect;
mod page;
mod text;

pub(crate) use collect::Collector;
pub(crate) use page::MetricsPage;

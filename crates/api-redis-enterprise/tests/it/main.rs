//! The dialect over HTTP, on a control plane whose servers are simulated. One file per resource, as in `handlers`.

mod access;
mod bootstrap;
mod certificates;
mod cluster;
mod coverage;
mod harness;
mod malformed;
mod roles;
mod users;

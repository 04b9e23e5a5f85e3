//! Certificates of single databases, of which there are none: every TLS endpoint shows the certificate `proxy` of the cluster.

use crate::app::App;
use crate::call::{Answer, Call, ok};
use crate::error::Failure;
use crate::handlers::bdbs;

pub(crate) async fn list(_app: App, _call: Call) -> Answer {
    Ok(ok(&Vec::<()>::new()))
}

pub(crate) async fn get(app: App, call: Call) -> Answer {
    bdbs::find(&app, &call)?;
    Err(absent())
}

pub(crate) async fn update(app: App, call: Call) -> Answer {
    bdbs::find(&app, &call)?;
    let why = "databases share the certificate proxy of the cluster, see PUT /v1/cluster/update_cert";
    Err(Failure::not_acceptable("invalid_certificate", why))
}

pub(crate) async fn delete(app: App, call: Call) -> Answer {
    bdbs::find(&app, &call)?;
    Err(absent())
}

fn absent() -> Failure {
    Failure::not_found("certificate_not_exist", "the database has no certificate of its own")
}

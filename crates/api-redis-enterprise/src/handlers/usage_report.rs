//! The usage report.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use pilothouse_api::header::{CONTENT_ENCODING, HeaderValue};
use pilothouse_api::{StatusCode, bytes_response};
use pilothouse_control::{Interval, Metric, StatSubject};
use pilothouse_model::Subject;

use crate::app::App;
use crate::call::{Answer, Call};
use crate::error::Failure;
use crate::translate::stats::Wanted;
use crate::translate::usage::{self, Common};

pub(crate) async fn get(app: App, call: Call) -> Answer {
    // Only for its checks: a bad date is refused like everywhere.
    Wanted::of(&call.request.query)?;
    let control = app.control();
    let common = Common {
        cluster_name: app.cluster_name(),
        cluster_uuid: control
            .hosts()
            .first()
            .map(|host| host.id.to_string())
            .unwrap_or_default(),
        software_version: app.options().software_version.clone(),
        now: control.now(),
    };
    let lines: Vec<_> = control
        .databases(&call.caller)
        .iter()
        .map(|view| {
            let sample = control
                .statistics()
                .newest(StatSubject::Database(view.database.id), Interval::Second1);
            let value = |metric| sample.as_ref().and_then(|sample| sample.get(metric)).unwrap_or(0.0);
            let uid = app.uid(Subject::Database(view.database.id));
            usage::line(&common, view, uid, value(Metric::UsedMemory), value(Metric::Operations))
        })
        .collect();
    let report = usage::report(&lines);
    let accepts = call
        .request
        .header("accept-encoding")
        .is_some_and(|accepted| accepted.contains("gzip"));
    if !accepts {
        return Ok(bytes_response(StatusCode::OK, "application/x-ndjson", report));
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let packed = encoder
        .write_all(report.as_bytes())
        .and_then(|()| encoder.finish())
        .map_err(Failure::internal)?;
    let mut response = bytes_response(StatusCode::OK, "application/x-ndjson", packed);
    response
        .headers_mut()
        .insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    Ok(response)
}

//! `GET /metrics`, and nothing else.

use std::sync::Arc;

use pilothouse_api::{Answer, Dialect, Method, Refusal, Request, Response, StatusCode, bytes_response, header};

use super::Collector;

const PATH: &str = "/metrics";

/// The version of the text format is part of its type.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers with the numbers of now.
pub(crate) struct MetricsPage(pub(crate) Arc<Collector>);

impl Dialect for MetricsPage {
    fn name(&self) -> &'static str {
        "metrics"
    }

    fn answer(self: Arc<Self>, request: Request) -> Answer {
        Box::pin(async move {
            match (request.path.as_str(), request.method) {
                (PATH, Method::GET) => bytes_response(StatusCode::OK, CONTENT_TYPE, self.0.collect().await),
                (PATH, _) => {
                    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET is allowed\n");
                    let allowed = header::HeaderValue::from_static("GET");
                    response.headers_mut().insert(header::ALLOW, allowed);
                    response
                }
                _ => text(StatusCode::NOT_FOUND, "there is only /metrics\n"),
            }
        })
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        let status = match refusal {
            Refusal::BodyTooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Refusal::HeadTooLong => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Refusal::BodyUnreadable | Refusal::NotHttp | Refusal::QueryMalformed => StatusCode::BAD_REQUEST,
            Refusal::Panicked(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        text(status, format!("{refusal}\n"))
    }
}

fn text(status: StatusCode, words: impl Into<String>) -> Response {
    bytes_response(status, "text/plain; charset=utf-8", words.into())
}

//! What a listener has answered: how often with which kind of status, and how long it took.

use std::time::Duration;

use hyper::StatusCode;
use pilothouse_model::Histogram;

/// Kinds of answers, by the first digit of the status.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Answers of one listener since it was made, from the complete head of a request to the beginning of its answer.
#[derive(Debug, Default)]
pub struct Traffic([Histogram; CLASSES.len()]);

impl Traffic {
    /// Each kind of answer, `1xx` to `5xx`, with its durations.
    pub fn classes(&self) -> impl Iterator<Item = (&'static str, &Histogram)> {
        CLASSES.into_iter().zip(&self.0)
    }

    pub(crate) fn count(&self, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        self.0[class].record(took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_counts_in_its_class() {
        let traffic = Traffic::default();
        for status in [StatusCode::CONTINUE, StatusCode::NOT_FOUND, StatusCode::IM_A_TEAPOT] {
            traffic.count(status, Duration::ZERO);
        }
        let counts: Vec<_> = traffic
            .classes()
            .map(|(class, counted)| (class, counted.read().count))
            .collect();
        assert_eq!(counts, [("1xx", 1), ("2xx", 0), ("3xx", 0), ("4xx", 2), ("5xx", 0)]);
    }
}

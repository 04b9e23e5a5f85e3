//! Durations counted by length: what happened how often, and how long it took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the classes in seconds; what is longer than the last is only counted. From the half millisecond that a commit takes to
/// the half minute after which nothing is waited for.
const BOUNDS: [f64; 15] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// Durations counted by length. Counting takes no lock.
#[derive(Debug, Default)]
pub struct Histogram {
    /// One for each bound, and one for what is longer than all.
    classes: [AtomicU64; BOUNDS.len() + 1],
    /// Of all durations; wraps after half a million years.
    sum_us: AtomicU64,
}

/// A histogram at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramReading {
    /// Bound in seconds, and how many durations were not longer. Grows from one to the next.
    pub up_to: Vec<(f64, u64)>,
    /// How many there were.
    pub count: u64,
    /// How long all of them took together, seconds.
    pub sum: f64,
}

impl Histogram {
    /// Counts a duration.
    pub fn record(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let class = BOUNDS.partition_point(|bound| *bound < seconds);
        self.classes[class].fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(micros, Ordering::Relaxed);
    }

    /// What was counted so far. One that is counted meanwhile may be in the classes and not yet in the sum.
    pub fn read(&self) -> HistogramReading {
        let mut count = 0;
        let mut add = |class: &AtomicU64| {
            count += class.load(Ordering::Relaxed);
            count
        };
        let up_to = BOUNDS
            .iter()
            .zip(&self.classes)
            .map(|(bound, class)| (*bound, add(class)));
        let up_to = up_to.collect();
        let count = add(&self.classes[BOUNDS.len()]);
        let sum = Duration::from_micros(self.sum_us.load(Ordering::Relaxed)).as_secs_f64();
        HistogramReading { up_to, count, sum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_by_every_bound_that_it_does_not_exceed() {
        let histogram = Histogram::default();
        for milliseconds in [1, 1, 20, 60_000] {
            histogram.record(Duration::from_millis(milliseconds));
        }
        let reading = histogram.read();
        let at = |wanted: f64| reading.up_to.iter().find(|(bound, _)| *bound == wanted).unwrap().1;
        assert_eq!((at(0.0005), at(0.001), at(0.01), at(0.025), at(30.0)), (0, 2, 2, 3, 3));
        assert_eq!((reading.count, reading.sum), (4, 60.022));
        assert!(BOUNDS.is_sorted());
    }
}

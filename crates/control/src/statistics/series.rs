//! The samples of one subject: one ring per interval, the coarser ones folded out of the finer ones as time passes.

use pilothouse_model::Timestamp;

use super::Interval;
use super::metric::{Fold, Metric};

/// From when to when a sample speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

impl Span {
    fn seconds(self) -> f64 {
        self.to.since(self.from).as_secs_f64()
    }
}

/// One sample, detached from its series.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its class.
    pub interval: Interval,
    /// When it begins.
    pub from: Timestamp,
    /// When it ends.
    pub to: Timestamp,
    metrics: &'static [Metric],
    values: Vec<f64>,
}

impl Sample {
    /// The value; `None` where it is not kept for this kind of subject, or not known in this sample.
    pub fn get(&self, metric: Metric) -> Option<f64> {
        let index = self.metrics.iter().position(|kept| *kept == metric)?;
        self.values.get(index).copied().filter(|value| value.is_finite())
    }
}

/// The samples of one subject.
#[derive(Clone, Debug)]
pub(super) struct Series {
    metrics: &'static [Metric],
    rings: [Ring; 7],
    /// The bucket being filled of each interval; that of the shortest is always empty.
    open: [Bucket; 7],
}

impl Series {
    pub(super) fn new(metrics: &'static [Metric]) -> Self {
        Self {
            metrics,
            rings: Interval::ALL.map(|interval| Ring::new(interval.retained(), metrics.len())),
            open: std::array::from_fn(|_| Bucket::default()),
        }
    }

    pub(super) fn metrics(&self) -> &'static [Metric] {
        self.metrics
    }

    /// Takes in a raw sample. One that does not end after the newest is dropped: the clock was set back.
    pub(super) fn record(&mut self, span: Span, values: &[f64]) {
        debug_assert_eq!(
            values.len(),
            self.metrics.len(),
            "a sample has one value for each metric of its series"
        );
        let newest = self.rings[0].newest().map(|(newest, _)| newest.to);
        if newest.is_some_and(|newest| span.to <= newest) {
            if newest.is_some_and(|newest| newest.since(span.to) < Interval::Second10.duration()) {
                return;
            }
            // Set back by more than jitter: what was kept of the finest class lies in the future now.
            self.rings[0] = Ring::new(Interval::Second1.retained(), self.metrics.len());
        }
        self.rings[0].push(span, values);
        self.fold(1, span, values);
    }

    fn fold(&mut self, level: usize, span: Span, values: &[f64]) {
        let Some(interval) = Interval::ALL.get(level) else {
            return;
        };
        let wanted = bucket_of(*interval, span);
        if let Some(open) = self.open[level].span
            && open != wanted
        {
            let closed = std::mem::take(&mut self.open[level]);
            let folded = closed.values(self.metrics);
            self.rings[level].push(open, &folded);
            self.fold(level + 1, open, &folded);
        }
        self.open[level].add(wanted, span, values, self.metrics);
    }

    /// Every kept sample of the interval, oldest first. While there is none yet, the one being made, so that nobody has to wait a week.
    pub(super) fn samples(&self, interval: Interval) -> Vec<Sample> {
        let level = interval.level();
        let samples: Vec<_> = self.rings[level]
            .iter()
            .map(|(span, values)| self.sample(interval, span, values.to_vec()))
            .collect();
        if samples.is_empty() {
            self.unfinished(interval).into_iter().collect()
        } else {
            samples
        }
    }

    /// The newest sample of the interval; see [`Series::samples`].
    pub(super) fn newest(&self, interval: Interval) -> Option<Sample> {
        match self.rings[interval.level()].newest() {
            Some((span, values)) => Some(self.sample(interval, span, values.to_vec())),
            None => self.unfinished(interval),
        }
    }

    /// What the open buckets of this interval and all finer ones hold together.
    fn unfinished(&self, interval: Interval) -> Option<Sample> {
        let mut all = Bucket::default();
        for bucket in self.open[1..=interval.level()].iter().rev() {
            if let (Some(from), Some(to)) = (bucket.from, bucket.to) {
                let span = Span { from, to };
                all.add(span, span, &bucket.values(self.metrics), self.metrics);
            }
        }
        let span = Span {
            from: all.from?,
            to: all.to?,
        };
        Some(self.sample(interval, span, all.values(self.metrics)))
    }

    fn sample(&self, interval: Interval, span: Span, values: Vec<f64>) -> Sample {
        Sample {
            interval,
            from: span.from,
            to: span.to,
            metrics: self.metrics,
            values,
        }
    }

    /// The newest value that is known of a metric, however old it is.
    pub(super) fn last_known(&self, metric: Metric) -> Option<f64> {
        Interval::ALL
            .into_iter()
            .flat_map(|interval| [self.newest(interval), self.unfinished(interval)])
            .flatten()
            .find_map(|sample| sample.get(metric))
    }

    pub(super) fn ring(&self, level: usize) -> &Ring {
        &self.rings[level]
    }

    pub(super) fn ring_mut(&mut self, level: usize) -> &mut Ring {
        &mut self.rings[level]
    }

    /// The bucket being filled of an interval, if there is one.
    pub(super) fn open(&self, level: usize) -> Option<OpenBucket<'_>> {
        let bucket = &self.open[level];
        Some(OpenBucket {
            whole: bucket.span?,
            filled: Span {
                from: bucket.from?,
                to: bucket.to?,
            },
            sums: &bucket.sums,
            weights: &bucket.weights,
        })
    }

    /// Goes on with a bucket that an earlier control plane began.
    pub(super) fn reopen(&mut self, level: usize, (whole, filled): (Span, Span), sums: Vec<f64>, weights: Vec<f64>) {
        self.open[level] = Bucket {
            span: Some(whole),
            from: Some(filled.from),
            to: Some(filled.to),
            sums,
            weights,
        };
    }

    /// The bytes that the samples hold at most now.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let rings: usize = self.rings.iter().map(Ring::bytes).sum();
        let open: usize = self
            .open
            .iter()
            .map(|bucket| (bucket.sums.capacity() + bucket.weights.capacity()) * 8)
            .sum();
        rings + open + size_of::<Self>()
    }
}

/// The bucket of an interval that a sample belongs to: the one that holds its last instant.
fn bucket_of(interval: Interval, span: Span) -> Span {
    let length = i64::try_from(interval.duration().as_millis()).unwrap_or(i64::MAX);
    let start = (span.to.as_millis() - 1).div_euclid(length) * length;
    Span {
        from: Timestamp::from_millis(start),
        to: Timestamp::from_millis(start.saturating_add(length)),
    }
}

/// What a bucket being filled holds so far.
pub(super) struct OpenBucket<'a> {
    /// What it will cover.
    pub(super) whole: Span,
    /// What it covers so far.
    pub(super) filled: Span,
    pub(super) sums: &'a [f64],
    pub(super) weights: &'a [f64],
}

/// A bucket being filled. Empty vectors until the first sample, so that idle intervals cost nothing.
#[derive(Clone, Debug, Default)]
struct Bucket {
    /// What it will cover.
    span: Option<Span>,
    /// What it covers so far.
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    /// Of each metric: sum of value × seconds, or the newest value.
    sums: Vec<f64>,
    /// Of each metric: the seconds during which it was known.
    weights: Vec<f64>,
}

impl Bucket {
    fn add(&mut self, whole: Span, span: Span, values: &[f64], metrics: &[Metric]) {
        self.span = Some(whole);
        self.from = Some(self.from.map_or(span.from, |from| from.min(span.from)));
        self.to = Some(self.to.map_or(span.to, |to| to.max(span.to)));
        if self.sums.is_empty() {
            self.sums = vec![0.0; metrics.len()];
            self.weights = vec![0.0; metrics.len()];
        }
        // A raw sample without a predecessor covers no time and still tells its gauges.
        let seconds = span.seconds().max(1e-3);
        for (index, (value, metric)) in values.iter().zip(metrics).enumerate() {
            if !value.is_finite() {
                continue;
            }
            match metric.fold() {
                Fold::Mean => {
                    self.sums[index] += value * seconds;
                    self.weights[index] += seconds;
                }
                Fold::Newest => {
                    self.sums[index] = *value;
                    self.weights[index] = 1.0;
                }
            }
        }
    }

    fn values(&self, metrics: &[Metric]) -> Vec<f64> {
        let each = self.sums.iter().zip(&self.weights).zip(metrics);
        each.map(|((sum, weight), _)| if *weight > 0.0 { sum / weight } else { f64::NAN })
            .collect()
    }
}

/// The newest samples of one interval, in one array that grows exactly as far as it has to.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    retained: usize,
    width: usize,
    /// Where the oldest sample stands, once the ring is full.
    head: usize,
    spans: Vec<Span>,
    values: Vec<f64>,
}

impl Ring {
    fn new(retained: usize, width: usize) -> Self {
        Self {
            retained,
            width,
            head: 0,
            spans: Vec::new(),
            values: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, span: Span, values: &[f64]) {
        if self.spans.len() < self.retained {
            if self.spans.len() == self.spans.capacity() {
                let more = (self.retained / 4).clamp(1, self.retained - self.spans.len());
                self.spans.reserve_exact(more);
                self.values.reserve_exact(more * self.width);
            }
            self.spans.push(span);
            self.values.extend_from_slice(values);
        } else {
            self.spans[self.head] = span;
            let start = self.head * self.width;
            self.values[start..start + self.width].copy_from_slice(values);
            self.head = (self.head + 1) % self.retained;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Span, &[f64])> {
        let count = self.spans.len();
        (0..count).map(move |index| self.at((self.head + index) % count))
    }

    pub(super) fn newest(&self) -> Option<(Span, &[f64])> {
        let count = self.spans.len();
        (count > 0).then(|| self.at((self.head + count - 1) % count))
    }

    fn at(&self, index: usize) -> (Span, &[f64]) {
        (
            self.spans[index],
            &self.values[index * self.width..(index + 1) * self.width],
        )
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.spans.capacity() * size_of::<Span>() + self.values.capacity() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::metric;

    static TWO: &[Metric] = &[Metric::UsedMemory, Metric::LastSave];

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_millis((seconds * 1000.0) as i64)
    }

    fn fill(series: &mut Series, seconds: std::ops::Range<u32>, step: u32, value: impl Fn(u32) -> [f64; 2]) {
        for second in seconds.step_by(step as usize) {
            let span = Span {
                from: at(f64::from(second)),
                to: at(f64::from(second + step)),
            };
            series.record(span, &value(second));
        }
    }

    #[test]
    fn the_finest_class_keeps_the_newest_ten() {
        let mut series = Series::new(TWO);
        fill(&mut series, 0..25, 1, |second| [f64::from(second), 0.0]);
        let samples = series.samples(Interval::Second1);
        let values: Vec<_> = samples
            .iter()
            .filter_map(|sample| sample.get(Metric::UsedMemory))
            .collect();
        assert_eq!(values, (15..25).map(f64::from).collect::<Vec<_>>());
        assert_eq!(samples[0].from, at(15.0));
        assert_eq!(series.newest(Interval::Second1).unwrap().to, at(25.0));
    }

    #[test]
    fn coarser_classes_hold_means_and_newest_values_of_aligned_buckets() {
        let mut series = Series::new(TWO);
        fill(&mut series, 0..31, 1, |second| [f64::from(second), f64::from(second)]);
        let samples = series.samples(Interval::Second10);
        assert_eq!(samples.len(), 3);
        assert_eq!((samples[1].from, samples[1].to), (at(10.0), at(20.0)));
        assert_eq!(samples[1].get(Metric::UsedMemory), Some(14.5));
        assert_eq!(samples[1].get(Metric::LastSave), Some(19.0));
    }

    #[test]
    fn slow_sampling_weighs_by_time() {
        let mut series = Series::new(TWO);
        fill(&mut series, 0..5, 5, |_| [10.0, 0.0]);
        fill(&mut series, 5..10, 1, |_| [20.0, 0.0]);
        fill(&mut series, 10..11, 1, |_| [0.0, 0.0]);
        assert_eq!(
            series.samples(Interval::Second10)[0].get(Metric::UsedMemory),
            Some(15.0)
        );
    }

    #[test]
    fn a_class_without_a_whole_sample_shows_the_one_being_made() {
        let mut series = Series::new(TWO);
        assert_eq!(series.samples(Interval::Week1), []);
        fill(&mut series, 0..15, 1, |second| [f64::from(second), f64::from(second)]);
        let week = series.newest(Interval::Week1).unwrap();
        assert_eq!((week.from, week.to), (at(0.0), at(15.0)));
        assert_eq!(week.get(Metric::UsedMemory), Some(7.0));
        assert_eq!(week.get(Metric::LastSave), Some(14.0));
    }

    #[test]
    fn unknown_values_are_left_out_of_means() {
        let mut series = Series::new(TWO);
        fill(&mut series, 0..11, 1, |second| {
            [if second < 5 { f64::NAN } else { 4.0 }, 0.0]
        });
        let folded = &series.samples(Interval::Second10)[0];
        assert_eq!(folded.get(Metric::UsedMemory), Some(4.0));
        assert_eq!(series.samples(Interval::Second1)[0].get(Metric::UsedMemory), None);
    }

    #[test]
    fn a_clock_that_was_set_back_neither_blocks_nor_corrupts() {
        let mut series = Series::new(TWO);
        fill(&mut series, 1000..1010, 1, |_| [1.0, 0.0]);
        fill(&mut series, 100..103, 1, |_| [2.0, 0.0]);
        assert_eq!(
            series.newest(Interval::Second1).unwrap().get(Metric::UsedMemory),
            Some(2.0)
        );
        assert_eq!(series.samples(Interval::Second1).len(), 3);
    }

    #[test]
    fn two_hundred_servers_with_everything_retained_stay_below_forty_megabytes() {
        let full = |metrics: &'static [Metric]| {
            let mut series = Series::new(metrics);
            let values = vec![1.0; metrics.len()];
            for interval in Interval::ALL {
                for _ in 0..interval.retained() {
                    series.ring_mut(interval.level()).push(
                        Span {
                            from: at(0.0),
                            to: at(1.0),
                        },
                        &values,
                    );
                }
            }
            series.bytes()
        };
        let total = 200 * full(metric::SERVER) + 100 * full(metric::DATABASE) + 2 * full(metric::HOST);
        assert!(total < 40_000_000, "{total} bytes");
    }
}

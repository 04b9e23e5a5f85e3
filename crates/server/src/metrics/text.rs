//! The text format of Prometheus, version 0.0.4: families with their help, samples with their labels, and the escaping of both. Pure.

use std::fmt::{Display, Write};

use pilothouse_model::HistogramReading;

/// Name and value of each label.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// What the numbers of a family are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Grows, and starts anew with the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations by length.
    Histogram,
}

/// A page under way.
#[derive(Debug, Default)]
pub(super) struct Text(String);

/// A family of metrics under way: samples of one name, which must stand together.
pub(super) struct Family<'a> {
    page: &'a mut String,
    name: &'static str,
}

impl Text {
    /// Begins a family.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = escape(help, false);
        line(&mut self.0, format_args!("# HELP {name} {help}"));
        line(&mut self.0, format_args!("# TYPE {name} {kind}"));
        Family {
            page: &mut self.0,
            name,
        }
    }

    /// The page.
    pub(super) fn finish(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// One number.
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: impl Display) {
        let labels = rendered(labels, None);
        line(self.page, format_args!("{}{labels} {value}", self.name));
    }

    /// One histogram.
    pub(super) fn histogram(&mut self, labels: Labels<'_>, reading: &HistogramReading) {
        let (name, plain) = (self.name, rendered(labels, None));
        for (bound, count) in &reading.up_to {
            let labels = rendered(labels, Some(&bound.to_string()));
            line(self.page, format_args!("{name}_bucket{labels} {count}"));
        }
        let all = rendered(labels, Some("+Inf"));
        line(self.page, format_args!("{name}_bucket{all} {}", reading.count));
        line(self.page, format_args!("{name}_sum{plain} {}", reading.sum));
        line(self.page, format_args!("{name}_count{plain} {}", reading.count));
    }
}

fn line(page: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(page, "{line}").expect("a string takes everything");
}

fn rendered(labels: Labels<'_>, up_to: Option<&str>) -> String {
    let all = labels.iter().copied().chain(up_to.map(|bound| ("le", bound)));
    let all: Vec<String> = all
        .map(|(name, value)| format!("{name}=\"{}\"", escape(value, true)))
        .collect();
    if all.is_empty() {
        String::new()
    } else {
        format!("{{{}}}", all.join(","))
    }
}

/// Help texts stand bare, values of labels in quotes.
fn escape(text: &str, quoted: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '"' if quoted => escaped.push_str("\\\""),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use pilothouse_model::Histogram;
    use std::time::Duration;

    use super::*;

    #[test]
    fn families_samples_and_escapes() {
        let mut text = Text::default();
        let mut family = text.family("up", Kind::Gauge, "Whether it\nis \"up\" \\ not.");
        family.sample(&[], 1);
        family.sample(&[("name", "a\"b\\c\nd"), ("other", "ä")], 0.5);
        let expected = "# HELP up Whether it\\nis \"up\" \\\\ not.\n# TYPE up gauge\nup 1\n\
                        up{name=\"a\\\"b\\\\c\\nd\",other=\"ä\"} 0.5\n";
        assert_eq!(text.finish(), expected);
    }

    #[test]
    fn a_histogram_ends_with_everything() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_millis(2));
        histogram.record(Duration::from_secs(99));
        let mut text = Text::default();
        let mut family = text.family("took_seconds", Kind::Histogram, "Time.");
        family.histogram(&[("who", "me")], &histogram.read());
        let page = text.finish();
        for line in [
            "took_seconds_bucket{who=\"me\",le=\"0.001\"} 0",
            "took_seconds_bucket{who=\"me\",le=\"0.0025\"} 1",
            "took_seconds_bucket{who=\"me\",le=\"30\"} 1",
            "took_seconds_bucket{who=\"me\",le=\"+Inf\"} 2",
            "took_seconds_sum{who=\"me\"} 99.002",
            "took_seconds_count{who=\"me\"} 2",
        ] {
            assert!(page.lines().any(|there| there == line), "{line} is not in\n{page}");
        }
    }
}

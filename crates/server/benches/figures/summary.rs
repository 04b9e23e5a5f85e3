//! Medians and their company.

use std::time::Duration;

/// Prints one line of a table: what, and the order statistics of its samples in milliseconds.
#[expect(clippy::print_stdout, reason = "a bench reports to whoever runs it")]
pub(crate) fn line(what: &str, samples: &mut [Duration]) {
    samples.sort_unstable();
    let at = |share: f64| {
        let index = ((samples.len() as f64 * share) as usize).min(samples.len().saturating_sub(1));
        samples.get(index).copied().unwrap_or_default().as_secs_f64() * 1e3
    };
    println!(
        "{what:<58} n {:>6}  median {:>9.3} ms  p99 {:>9.3} ms  max {:>9.3} ms",
        samples.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

/// Prints one number.
#[expect(clippy::print_stdout, reason = "a bench reports to whoever runs it")]
pub(crate) fn number(what: &str, value: f64, unit: &str) {
    println!("{what:<58} {value:>12.2} {unit}");
}

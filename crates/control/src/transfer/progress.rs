//! Showing how far a transfer is, while it goes on, and ending it when it is not wanted any more.

use std::time::Duration;

use pilothouse_backup::Progress;

use super::Halt;
use super::job::Job;
use crate::Control;

/// How often somebody looks how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Smaller steps are not recorded: each is a commit.
const STEP_PERCENT: u8 = 10;

/// The part of a transfer, in percent, that a piece of work makes up.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) from: u8,
    pub(super) to: u8,
}

impl Span {
    /// How far the transfer is when that share of the work is done.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of at most a hundred"
    )]
    pub(super) fn at(self, share: f64) -> u8 {
        self.from + (f64::from(self.to - self.from) * share.clamp(0.0, 1.0)) as u8
    }
}

/// Does `work`, which `progress` tells of, and records how far it is. The work is dropped when the transfer is overtaken.
pub(super) async fn shown<T>(
    control: &Control,
    job: &Job,
    progress: &Progress,
    span: Span,
    work: impl Future<Output = T>,
) -> Result<T, Halt> {
    let mut work = std::pin::pin!(work);
    let mut shown = span.from;
    loop {
        tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        job.record(control)?;
        let now = span.at(progress.fraction());
        if now >= shown + STEP_PERCENT {
            job.progressed(control, now).await?;
            shown = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_part_of_the_whole() {
        let span = Span { from: 40, to: 90 };
        assert_eq!(
            [0.0, 0.5, 1.0, 7.0, -1.0].map(|share| span.at(share)),
            [40, 65, 90, 90, 40]
        );
    }
}

//! Notices a gateway that runs and does not answer: asked once a round over the connection that is kept to it, and judged by what the
//! scheduler says of its process, as servers are.
//!
//! Rounds are counted rather than time, so that a control plane which was stopped itself blames nobody.

use std::time::Duration;

use pilothouse_gateway_protocol::GatewayError;
use pilothouse_model::ServerId;
use pilothouse_runtime::ProcessActivity;

use super::GATEWAY_PROCESSES;
use crate::Control;

/// The length of a round, and how long an answer may take.
const ROUND: Duration = Duration::from_secs(1);

/// Silent rounds after which a process that a signal has stopped counts as hung.
const STOPPED_ROUNDS: u32 = 3;

/// The same for one that has used no processor time meanwhile.
const IDLE_ROUNDS: u32 = 5;

/// The same for one that works. It carries bytes as long as it does, and ending it breaks every connection.
const BUSY_ROUNDS: u32 = 30;

/// The same for two gateways, of which one hands over to the other: longer than a handover may take.
const HANDOVER_ROUNDS: u32 = 90;

/// Gateways to be ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hung {
    pub(super) processes: Vec<ServerId>,
    /// What is wrong, to be read after "the gateway".
    pub(super) how: &'static str,
}

/// Rounds without an answer, since the last one.
#[derive(Debug, Default)]
struct Silence {
    rounds: u32,
    /// Processor time of the gateways when it began.
    before: Duration,
}

impl Control {
    /// Waits until the gateway that runs hangs. Dropping it forgets how long it has been silent.
    pub(super) async fn hung_gateway(&self) -> Hung {
        let mut silence = Silence::default();
        loop {
            let round = tokio::time::sleep(ROUND);
            let answers = tokio::time::timeout(ROUND, self.gateway_answers()).await;
            round.await;
            if answers == Ok(true) {
                silence = Silence::default();
            } else if let Some(hung) = silence.judge(&self.gateway_activities()) {
                return hung;
            }
        }
    }

    /// Whether the gateway answers, be it with a refusal: that one speaks another version, and serves.
    async fn gateway_answers(&self) -> bool {
        matches!(self.0.gateway.load().await, Ok(_) | Err(GatewayError::Refused(_)))
    }

    fn gateway_activities(&self) -> Vec<(ServerId, ProcessActivity)> {
        let activity = |gateway| Some((gateway, self.0.runtime.activity(gateway)?));
        GATEWAY_PROCESSES.into_iter().filter_map(activity).collect()
    }
}

impl Silence {
    /// After one more silent round: who hangs, if it is time to say so. No gateway at all is not a matter of hanging.
    fn judge(&mut self, running: &[(ServerId, ProcessActivity)]) -> Option<Hung> {
        let worked: Duration = running.iter().map(|(_, activity)| activity.cpu_time).sum();
        if self.rounds == 0 || running.is_empty() {
            self.before = worked;
        }
        self.rounds = if running.is_empty() { 0 } else { self.rounds + 1 };
        let all = || running.iter().map(|(gateway, _)| *gateway).collect::<Vec<_>>();
        let stopped: Vec<_> = running.iter().filter(|(_, activity)| activity.stopped).collect();
        let (patience, processes, how) = if !stopped.is_empty() {
            let stopped = stopped.into_iter().map(|(gateway, _)| *gateway).collect();
            (STOPPED_ROUNDS, stopped, "was stopped by a signal")
        } else if running.len() > 1 {
            (HANDOVER_ROUNDS, all(), "did not end a handover")
        } else if worked == self.before {
            (IDLE_ROUNDS, all(), "did not answer and did nothing")
        } else {
            (BUSY_ROUNDS, all(), "did not answer for a long time")
        };
        (self.rounds >= patience && !processes.is_empty()).then_some(Hung { processes, how })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: ServerId = GATEWAY_PROCESSES[0];
    const SECOND: ServerId = GATEWAY_PROCESSES[1];

    fn activity(cpu_millis: u64, stopped: bool) -> ProcessActivity {
        ProcessActivity {
            cpu_time: Duration::from_millis(cpu_millis),
            stopped,
        }
    }

    /// The round in which it is judged, and how.
    fn judged(mut running: impl FnMut(u32) -> Vec<(ServerId, ProcessActivity)>) -> Option<(u32, Hung)> {
        let mut silence = Silence::default();
        (1..=200).find_map(|round| Some((round, silence.judge(&running(round))?)))
    }

    #[test]
    fn a_stopped_one_is_ended_soon_and_a_working_one_late() {
        let rounds = |judged: Option<(u32, Hung)>| judged.map(|(round, _)| round);
        assert_eq!(
            rounds(judged(|_| vec![(FIRST, activity(7, true))])),
            Some(STOPPED_ROUNDS)
        );
        assert_eq!(rounds(judged(|_| vec![(FIRST, activity(7, false))])), Some(IDLE_ROUNDS));
        let works = |round: u32| vec![(FIRST, activity(u64::from(round) * 10, false))];
        assert_eq!(rounds(judged(works)), Some(BUSY_ROUNDS));
        assert_eq!(
            rounds(judged(|_| Vec::new())),
            None,
            "one that is being started is not ended"
        );
    }

    #[test]
    fn in_a_handover_only_the_stopped_one_is_ended() {
        let (round, hung) = judged(|_| vec![(FIRST, activity(7, true)), (SECOND, activity(7, false))]).unwrap();
        assert_eq!((round, hung.processes), (STOPPED_ROUNDS, vec![FIRST]));
        let (round, hung) = judged(|_| vec![(FIRST, activity(7, false)), (SECOND, activity(7, false))]).unwrap();
        assert_eq!((round, hung.processes), (HANDOVER_ROUNDS, vec![FIRST, SECOND]));
    }
}

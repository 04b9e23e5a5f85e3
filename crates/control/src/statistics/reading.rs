//! Values of a subject at one moment, and several of them as one.

use std::collections::BTreeMap;

use pilothouse_gateway_protocol::EndpointLoad;
use pilothouse_model::Timestamp;

use super::Sample;
use super::counters::{CPU, EndpointCounters, grown};
use super::metric::Metric;
use super::requests::{OTHER, READ, WRITE};

/// Metrics of a database that are not added up over its primaries.
const AVERAGED: &[Metric] = &[Metric::FragmentationRatio, Metric::AverageTtl];

/// Values of one subject at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reading(BTreeMap<Metric, f64>);

impl Reading {
    pub(super) fn of(values: &[(Metric, f64)]) -> Self {
        Self(values.iter().copied().collect())
    }

    pub(super) fn get(&self, metric: Metric) -> Option<f64> {
        self.0.get(&metric).copied()
    }

    pub(super) fn set(&mut self, metric: Metric, value: f64) {
        self.0.insert(metric, value);
    }

    pub(super) fn set_requests(&mut self, calls: [f64; 3], micros: [f64; 3], seconds: f64) {
        let rates = [Metric::ReadRequests, Metric::WriteRequests, Metric::OtherRequests];
        let latencies = [Metric::ReadLatency, Metric::WriteLatency, Metric::OtherLatency];
        for kind in [READ, WRITE, OTHER] {
            self.set(rates[kind], calls[kind] / seconds);
            if calls[kind] > 0.0 {
                self.set(latencies[kind], micros[kind] / calls[kind]);
            }
        }
        let all: f64 = calls.iter().sum();
        self.set(Metric::TotalRequests, all / seconds);
        self.set(Metric::Operations, all / seconds);
        if all > 0.0 {
            self.set(Metric::Latency, micros.iter().sum::<f64>() / all);
        }
    }

    /// Several servers as one: sums, but means of ratios, means of latencies weighted by requests, and the newest of times.
    pub(super) fn sum(parts: &[Self]) -> Self {
        if let [only] = parts {
            return only.clone();
        }
        let mut whole = Self::default();
        for part in parts {
            for (metric, value) in &part.0 {
                let so_far = whole.get(*metric);
                let value = match metric {
                    Metric::LastSave | Metric::LastRequest => so_far.map_or(*value, |so_far| so_far.max(*value)),
                    _ => so_far.unwrap_or(0.0) + value,
                };
                whole.set(*metric, value);
            }
        }
        let known = |metric: Metric| parts.iter().filter_map(move |part| part.get(metric));
        for metric in AVERAGED {
            let count = known(*metric).count();
            if count > 0 {
                whole.set(*metric, known(*metric).sum::<f64>() / count as f64);
            }
        }
        let weighted = [
            (Metric::Latency, Metric::TotalRequests),
            (Metric::ReadLatency, Metric::ReadRequests),
            (Metric::WriteLatency, Metric::WriteRequests),
            (Metric::OtherLatency, Metric::OtherRequests),
        ];
        for (latency, requests) in weighted {
            let pairs = parts
                .iter()
                .filter_map(|part| Some((part.get(latency)?, part.get(requests)?)));
            if let Some(mean) = weighted_mean(pairs) {
                whole.set(latency, mean);
            }
        }
        whole
    }

    /// All hosts as one: sums, but processor shares weighted by processors and latency by requests.
    pub(super) fn installation(hosts: &[(f64, Self)]) -> Self {
        let readings: Vec<Self> = hosts.iter().map(|(_, reading)| reading.clone()).collect();
        let mut whole = Self::sum(&readings);
        for metric in CPU {
            let pairs = hosts
                .iter()
                .filter_map(|(cores, reading)| Some((reading.get(metric)?, *cores)));
            if let Some(mean) = weighted_mean(pairs) {
                whole.set(metric, mean);
            }
        }
        whole
    }

    /// Connections and bytes as the endpoint counts them: the server sees those of the gateway and our own.
    pub(super) fn set_endpoint(
        &mut self,
        load: &EndpointLoad,
        now: &EndpointCounters,
        previous: Option<&(Timestamp, EndpointCounters)>,
        at: Timestamp,
    ) {
        self.set(Metric::Connections, load.connections as f64);
        for metric in [
            Metric::BytesIn,
            Metric::BytesOut,
            Metric::ConnectionsReceived,
            Metric::ConnectionsRefused,
        ] {
            self.0.remove(&metric);
        }
        let Some((then, before)) = previous else { return };
        let seconds = at.since(*then).as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        let rate = |now: u64, before: u64| grown(now as f64, before as f64) / seconds;
        self.set(Metric::BytesIn, rate(now.bytes_in, before.bytes_in));
        self.set(Metric::BytesOut, rate(now.bytes_out, before.bytes_out));
        self.set(Metric::ConnectionsReceived, rate(now.accepted, before.accepted));
        self.set(Metric::ConnectionsRefused, rate(now.refused, before.refused));
    }

    /// What the databases of a host do.
    pub(super) fn set_databases(&mut self, databases: impl Iterator<Item = Sample>) {
        let (mut connections, mut requests, mut rewrites) = (0.0, 0.0, 0.0);
        let mut latencies = Vec::new();
        for sample in databases {
            connections += sample.get(Metric::Connections).unwrap_or(0.0);
            rewrites += sample.get(Metric::LogRewrites).unwrap_or(0.0);
            let rate = sample.get(Metric::Operations).unwrap_or(0.0);
            requests += rate;
            if let Some(latency) = sample.get(Metric::Latency) {
                latencies.push((latency, rate));
            }
        }
        self.set(Metric::Connections, connections);
        self.set(Metric::TotalRequests, requests);
        self.set(Metric::LogRewrites, rewrites);
        if let Some(latency) = weighted_mean(latencies.into_iter()) {
            self.set(Metric::Latency, latency);
        }
    }
}

/// The mean of (value, weight) pairs; `None` without weight.
fn weighted_mean(pairs: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let (sum, weight) = pairs.fold((0.0, 0.0), |(sum, total), (value, weight)| {
        (sum + value * weight, total + weight)
    });
    (weight > 0.0).then(|| sum / weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_averaged_and_latencies_weighted() {
        let part = |memory, ratio, latency, requests| {
            Reading(
                [
                    (Metric::UsedMemory, memory),
                    (Metric::FragmentationRatio, ratio),
                    (Metric::Latency, latency),
                    (Metric::TotalRequests, requests),
                ]
                .into(),
            )
        };
        let whole = Reading::sum(&[part(10.0, 1.0, 100.0, 1.0), part(30.0, 2.0, 200.0, 3.0)]);
        assert_eq!(whole.get(Metric::UsedMemory), Some(40.0));
        assert_eq!(whole.get(Metric::FragmentationRatio), Some(1.5));
        assert_eq!(whole.get(Metric::Latency), Some(175.0));
    }
}

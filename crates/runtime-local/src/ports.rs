//! Free ports for servers.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use pilothouse_model::ServerPorts;
use pilothouse_runtime::RuntimeError;

/// A port that was handed out stays out of the hand for this long: its server binds it within that time, or never.
const PROMISED: Duration = Duration::from_secs(30);

/// Hands out ports, round and round the range: a port that was just given up goes to another database as late as possible, so that
/// clients of the old one do not meet a stranger.
#[derive(Debug)]
pub(crate) struct PortBook {
    range: RangeInclusive<u16>,
    probe: IpAddr,
    next: u16,
    promised: HashMap<u16, Instant>,
}

impl PortBook {
    /// Starts somewhere in the range, so that two data directories of one machine rarely ask for the same port.
    pub(crate) fn new(range: RangeInclusive<u16>, probe: IpAddr) -> Self {
        let size = u32::from(range.end().saturating_sub(*range.start())) + 1;
        let offset = u16::try_from(std::process::id().wrapping_mul(37) % size).unwrap_or(0);
        Self {
            next: range.start().saturating_add(offset),
            range,
            probe,
            promised: HashMap::new(),
        }
    }

    /// Two ports that nobody listens on, not in `taken` and not promised; three for a server of a cluster.
    pub(crate) fn take(&mut self, taken: &[u16], cluster: bool, now: Instant) -> Result<ServerPorts, RuntimeError> {
        self.promised.retain(|_, until| *until > now);
        let mut found = Vec::with_capacity(3);
        for _ in self.range.clone() {
            let port = self.next;
            self.next = if port >= *self.range.end() {
                *self.range.start()
            } else {
                port + 1
            };
            if taken.contains(&port) || self.promised.contains_key(&port) || !self.is_free(port) {
                continue;
            }
            found.push(port);
            let ports = match (cluster, &found[..]) {
                (false, &[plain, tls]) => ServerPorts { plain, tls, bus: 0 },
                (true, &[plain, tls, bus]) => ServerPorts { plain, tls, bus },
                _ => continue,
            };
            self.promised.extend(found.iter().map(|port| (*port, now + PROMISED)));
            return Ok(ports);
        }
        let range = format!("{}-{}", self.range.start(), self.range.end());
        Err(RuntimeError::NoPort { range })
    }

    fn is_free(&self, port: u16) -> bool {
        port != 0 && TcpListener::bind(SocketAddr::new(self.probe, port)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// A listener, and a book of exactly four ports around its own.
    fn around_a_listener() -> (TcpListener, RangeInclusive<u16>) {
        loop {
            let listener = TcpListener::bind((LOOPBACK, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let range = port..=port.saturating_add(4);
            let others_free = range
                .clone()
                .skip(1)
                .all(|port| TcpListener::bind((LOOPBACK, port)).is_ok());
            if others_free && range.len() == 5 {
                return (listener, range);
            }
        }
    }

    #[test]
    fn ports_are_free_and_never_promised_twice() {
        let (listener, range) = around_a_listener();
        let (own, now) = (listener.local_addr().unwrap().port(), Instant::now());
        let mut book = PortBook::new(range.clone(), LOOPBACK);
        let first = book.take(&[], false, now).unwrap();
        let second = book.take(&[], false, now).unwrap();
        let mut given = [first.plain, first.tls, second.plain, second.tls];
        given.sort_unstable();
        assert_eq!(given[..], range.clone().skip(1).collect::<Vec<_>>()[..]);
        assert!(!given.contains(&own));
        assert!(matches!(book.take(&[], false, now), Err(RuntimeError::NoPort { .. })));
        // A promise that was not kept ends, a port in use does not.
        let later = now + PROMISED + Duration::from_secs(1);
        let third = book.take(&[given[0], given[1]], false, later).unwrap();
        assert!([third.plain, third.tls].iter().all(|port| given[2..].contains(port)));
    }

    #[test]
    fn the_last_port_of_all_is_no_overflow() {
        let mut book = PortBook::new(u16::MAX..=u16::MAX, LOOPBACK);
        assert!(book.take(&[], false, Instant::now()).is_err());
    }
}

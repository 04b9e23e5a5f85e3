//! Ports: those of the dialects, and the ranges that databases take theirs from.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};

use super::{Check, Verdict};
use crate::config::{Configuration, PortRange, is_served};
use crate::wiring;

/// Checks of listeners and port ranges. The listeners of a running control plane are its own, so only the ranges are looked at then.
pub(super) fn checks(configuration: &Configuration, running: bool) -> Vec<Check> {
    let taken = listening();
    let mut checks = Vec::new();
    if !running {
        checks.extend(
            configuration
                .listen
                .addresses()
                .into_iter()
                .filter(|(key, _)| is_served(key))
                .filter_map(|(key, address)| listener(key, address)),
        );
        if checks.is_empty() {
            checks.push(Check::new(
                "listeners",
                Verdict::Ok,
                "every address of [listen] is free",
            ));
        }
    }
    let address = configuration.server.advertise_address;
    if !wiring::is_own_address(address) {
        let finding = format!("server.advertise_address {address} is no address of this machine");
        let check = Check::new("address", Verdict::Problem, finding);
        checks.push(check.remedy("set it to one of those that `ip -brief address` lists"));
    }
    checks.push(range(
        "endpoints.port_range",
        configuration.endpoints.port_range,
        &taken,
        running,
    ));
    checks.push(range(
        "endpoints.server_port_range",
        configuration.endpoints.server_port_range,
        &taken,
        running,
    ));
    checks
}

fn listener(key: &str, address: SocketAddr) -> Option<Check> {
    let error = TcpListener::bind(address).err()?;
    let check = Check::new(
        "listeners",
        Verdict::Problem,
        format!("{address} cannot be bound: {error}"),
    );
    Some(check.remedy(format!(
        "end what listens there (ss -ltnp), or set listen.{key} to another address or \"off\""
    )))
}

fn range(key: &str, range: PortRange, taken: &BTreeSet<u16>, running: bool) -> Check {
    let taken = taken.iter().filter(|port| range.contains(**port)).count();
    let free = range.size() as usize - taken;
    let by = if running { "" } else { " by somebody else" };
    let finding = format!("{key} {range}: {free} ports free, {taken} taken{by}");
    if free < 100 {
        Check::new("ports", Verdict::Warning, finding)
            .remedy(format!("widen {key}: each server takes up to two, each database one"))
    } else {
        Check::new("ports", Verdict::Ok, finding)
    }
}

/// Every TCP port that something listens on, whatever the address.
fn listening() -> BTreeSet<u16> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| table.lines().filter_map(listening_port).collect::<Vec<_>>())
        .collect()
}

/// `sl local_address rem_address st …`; the address ends in the port in hexadecimal digits, and state 0A is listening.
fn listening_port(line: &str) -> Option<u16> {
    let mut fields = line.split_whitespace().skip(1);
    let (_, port) = fields.next()?.rsplit_once(':')?;
    (fields.nth(1)? == "0A")
        .then(|| u16::from_str_radix(port, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_seen() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        assert!(listening().contains(&address.port()));
        assert!(listener("globo", address).is_some_and(|check| check.verdict == Verdict::Problem));
        let port = PortRange {
            first: address.port(),
            last: address.port(),
        };
        assert_eq!(range("k", port, &listening(), false).verdict, Verdict::Warning);
        assert_eq!(
            listening_port("  0: 0100007F:18EB 00000000:0000 01 00000000:00000000"),
            None
        );
        assert_eq!(
            listening_port("  0: 0100007F:18EB 00000000:0000 0A 00000000:00000000"),
            Some(6379)
        );
        assert_eq!(listening_port("  sl  local_address rem_address   st"), None);
    }
}

//! Where clients connect, and from where they may.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The stable address of a database. It never changes silently, whatever happens behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// The address that the gateway binds and clients use.
    pub address: IpAddr,
    /// The TCP port.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&std::net::SocketAddr::new(self.address, self.port), f)
    }
}

/// A text that is not `ADDRESS/PREFIX`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address range of the form ADDRESS/PREFIX")]
pub struct CidrError(String);

/// A range of IPv4 or IPv6 addresses, `ADDRESS/PREFIX`. A bare address is the range of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// A range that no peer has: of the broadcast address alone.
    pub const NOBODY: Self = Self {
        address: IpAddr::V4(Ipv4Addr::BROADCAST),
        prefix: 32,
    };

    /// What both lists allow, where an empty list allows everybody. Of two ranges that meet, one lies within the other; where none meet,
    /// the result is [`Cidr::NOBODY`] alone.
    pub fn both(one: &[Self], other: &[Self]) -> Vec<Self> {
        if one.is_empty() || other.is_empty() {
            return [one, other].concat();
        }
        let mut both: Vec<Self> = Vec::new();
        let pairs = one.iter().map(|range| (range, other));
        for (range, list) in pairs.chain(other.iter().map(|range| (range, one))) {
            if list.iter().any(|wider| range.lies_in(wider)) && !both.contains(range) {
                both.push(*range);
            }
        }
        if both.is_empty() {
            both.push(Self::NOBODY);
        }
        both
    }

    fn lies_in(&self, wider: &Self) -> bool {
        self.prefix >= wider.prefix && wider.contains(self.address)
    }

    /// Whether `address` lies in the range. An IPv4 address mapped into IPv6 counts as the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        fn same_prefix<const N: usize>(a: [u8; N], b: [u8; N], prefix: u8) -> bool {
            let (whole, rest) = (usize::from(prefix / 8), prefix % 8);
            let mask = !(0xff_u8.checked_shr(u32::from(rest)).unwrap_or(0));
            a[..whole] == b[..whole] && (rest == 0 || (a[whole] & mask) == (b[whole] & mask))
        }
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(range), IpAddr::V4(address)) => same_prefix(range.octets(), address.octets(), self.prefix),
            (IpAddr::V6(range), IpAddr::V6(address)) => same_prefix(range.octets(), address.octets(), self.prefix),
            _ => false,
        }
    }
}

impl FromStr for Cidr {
    type Err = CidrError;
    fn from_str(text: &str) -> Result<Self, CidrError> {
        let error = || CidrError(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| error())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(longest), str::parse::<u8>).map_err(|_| error())?;
        if prefix > longest {
            Err(error())
        } else {
            Ok(Self { address, prefix })
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl TryFrom<String> for Cidr {
    type Error = CidrError;
    fn try_from(text: String) -> Result<Self, CidrError> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(range: Cidr) -> String {
        range.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(range: &str, inside: &[&str], outside: &[&str]) {
        let range: Cidr = range.parse().unwrap();
        for address in inside {
            assert!(range.contains(address.parse().unwrap()), "{address} in {range}");
        }
        for address in outside {
            assert!(!range.contains(address.parse().unwrap()), "{address} not in {range}");
        }
    }

    #[test]
    fn ranges_contain_what_shares_their_prefix() {
        check(
            "127.0.0.0/8",
            &["127.0.0.1", "127.255.1.2", "::ffff:127.0.0.1"],
            &["128.0.0.1", "::1"],
        );
        check("10.1.128.0/17", &["10.1.128.0", "10.1.255.255"], &["10.1.127.255"]);
        check("0.0.0.0/0", &["1.2.3.4"], &["::1"]);
        check("::/0", &["::1", "fe80::1"], &["1.2.3.4"]);
        check("192.168.1.7", &["192.168.1.7"], &["192.168.1.8"]);
        check("2001:db8::/33", &["2001:db8::1"], &["2001:db8:8000::1"]);
    }

    #[test]
    fn two_lists_let_in_whom_both_let_in() {
        let list = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Cidr>>();
        let check = |one: &[&str], other: &[&str], both: &[&str]| {
            assert_eq!(
                Cidr::both(&list(one), &list(other)),
                list(both),
                "{one:?} and {other:?}"
            );
        };
        check(&[], &[], &[]);
        check(&["10.0.0.0/8"], &[], &["10.0.0.0/8"]);
        check(&[], &["10.0.0.0/8"], &["10.0.0.0/8"]);
        check(
            &["10.1.0.0/16", "11.0.0.0/8"],
            &["10.0.0.0/8", "11.1.1.1"],
            &["10.1.0.0/16", "11.1.1.1/32"],
        );
        check(&["10.0.0.0/8"], &["10.0.0.0/8"], &["10.0.0.0/8"]);
        check(&["10.0.0.0/8"], &["::/0", "12.0.0.0/8"], &["255.255.255.255/32"]);
    }

    #[test]
    fn bad_ranges_are_refused() {
        for bad in ["", "1.2.3.4/33", "1.2.3/8", "::/129", "1.2.3.4/", "a/8"] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }
}

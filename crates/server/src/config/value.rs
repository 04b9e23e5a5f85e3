//! The small languages of values: durations, sizes, port ranges, listener addresses. All pure.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// Ports from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// The highest; never below `first`.
    pub last: u16,
}

impl PortRange {
    /// Whether the two have a port in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Whether `port` lies in it.
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// How many ports it has.
    pub fn size(self) -> u32 {
        u32::from(self.last) - u32::from(self.first) + 1
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// `FIRST-LAST`.
pub(super) fn port_range(text: &str) -> Result<PortRange, String> {
    let allowed =
        || format!("is {text:?}; allowed: FIRST-LAST with ports from 1024 to 65535, for instance \"10000-19999\"");
    let (first, last) = text.split_once('-').ok_or_else(allowed)?;
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port >= 1024);
    match (port(first), port(last)) {
        (Some(first), Some(last)) if first <= last => Ok(PortRange { first, last }),
        _ => Err(allowed()),
    }
}

/// A number and a unit: `250ms`, `3s`, `5m`, `12h`, `7d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let allowed = || format!("is {text:?}; allowed: a whole number and one of ms, s, m, h, d, for instance \"3s\"");
    let trimmed = text.trim();
    let unit = trimmed.find(|c: char| !c.is_ascii_digit()).ok_or_else(allowed)?;
    let (number, unit) = trimmed.split_at(unit);
    let number: u64 = number.parse().map_err(|_| allowed())?;
    let millis = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(allowed()),
    };
    number
        .checked_mul(millis)
        .map(Duration::from_millis)
        .ok_or_else(allowed)
}

/// A size in bytes, with an optional unit in powers of 1024: `1048576`, `100mb`, `2gb`.
pub fn size(text: &str) -> Result<u64, String> {
    let allowed =
        || format!("is {text:?}; allowed: bytes, or a whole number and one of kb, mb, gb, tb, for instance \"100mb\"");
    let trimmed = text.trim().to_ascii_lowercase();
    let unit = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(unit);
    let number: u64 = number.parse().map_err(|_| allowed())?;
    let shift = match unit.trim().trim_end_matches("ib").trim_end_matches('b') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(allowed()),
    };
    number.checked_mul(1 << shift).ok_or_else(allowed)
}

/// `ADDRESS:PORT`, or `off`.
pub(super) fn listener(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "off" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        format!(
            "is {text:?}; allowed: \"off\", or an address and a port, for instance \"127.0.0.1:9443\" or \"[::1]:9443\""
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        for (text, millis) in [
            ("250ms", 250),
            ("3s", 3_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("7d", 604_800_000),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in [
            "",
            "3",
            "s",
            "-3s",
            "3 weeks",
            "1.5s",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_bytes_or_have_a_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("100mb", 100 << 20),
            ("2GB", 2 << 30),
            ("1gib", 1 << 30),
            ("64k", 64 << 10),
            ("5 b", 5),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "mb", "-1mb", "1.5gb", "1xb", "99999999999tb"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn port_ranges_go_up_and_stay_unprivileged() {
        assert_eq!(
            port_range("10000-19999"),
            Ok(PortRange {
                first: 10000,
                last: 19999
            })
        );
        assert_eq!(port_range("2000-2000").map(PortRange::size), Ok(1));
        for bad in ["", "10000", "2000-1999", "80-90", "1024-65536", "a-b", "1024-2000-3000"] {
            assert!(port_range(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn listeners_can_be_off() {
        assert_eq!(listener("off"), Ok(None));
        assert!(listener("127.0.0.1:9443").is_ok_and(|address| address.is_some()));
        assert!(listener("[::1]:0").is_ok());
        for bad in [
            "",
            "on",
            "9443",
            ":9443",
            "localhost:9443",
            "127.0.0.1",
            "127.0.0.1:99999",
        ] {
            assert!(listener(bad).is_err(), "{bad}");
        }
    }
}

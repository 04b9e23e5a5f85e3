//! The classes of samples: how long one covers, and how many are kept.

use std::time::Duration;

/// How long a sample covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Interval {
    Second1,
    Second10,
    Minute5,
    Minute15,
    Hour1,
    Hour12,
    Week1,
}

impl Interval {
    /// Every interval, shortest first.
    pub const ALL: [Self; 7] = [
        Self::Second1,
        Self::Second10,
        Self::Minute5,
        Self::Minute15,
        Self::Hour1,
        Self::Hour12,
        Self::Week1,
    ];

    /// How long a sample covers. A sample of the shortest class covers the time since the one before, which is longer for idle servers.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(match self {
            Self::Second1 => 1,
            Self::Second10 => 10,
            Self::Minute5 => 5 * 60,
            Self::Minute15 => 15 * 60,
            Self::Hour1 => 3600,
            Self::Hour12 => 12 * 3600,
            Self::Week1 => 7 * 24 * 3600,
        })
    }

    /// How many samples are kept. The figures are those of the redis-enterprise specification §13.
    pub const fn retained(self) -> usize {
        match self {
            Self::Second1 => 10,
            Self::Second10 => 30,
            Self::Minute5 => 12,
            Self::Minute15 => 96,
            Self::Hour1 => 168,
            Self::Hour12 => 62,
            Self::Week1 => 53,
        }
    }

    /// The position in [`Interval::ALL`].
    pub(super) const fn level(self) -> usize {
        self as usize
    }
}

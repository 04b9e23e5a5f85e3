//! What is measured. One fixed enum, so that a sample is an array and not a map.

/// What is measured. Rates are per second; sizes in bytes; latencies in microseconds; processor time of servers in seconds per second,
/// that of hosts as a share of all processors.
///
/// The numbers are written to the archive: append only, never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the words say it; units stand above")]
#[repr(u16)]
pub enum Metric {
    Connections = 1,
    ConnectionsReceived = 2,
    ConnectionsRefused = 3,
    BytesIn = 4,
    BytesOut = 5,
    EvictedKeys = 6,
    ExpiredKeys = 7,
    /// Commands of clients per second over the newest raw sample; our own housekeeping is not counted.
    Operations = 8,
    UsedMemory = 9,
    UsedMemoryPeak = 10,
    UsedMemoryRss = 11,
    LuaMemory = 12,
    FragmentationRatio = 13,
    MemoryNotCountedForEviction = 14,
    Keys = 15,
    ExpiringKeys = 16,
    AverageTtl = 17,
    ReadRequests = 18,
    WriteRequests = 19,
    OtherRequests = 20,
    ReadHits = 21,
    ReadMisses = 22,
    PubsubChannels = 23,
    PubsubPatterns = 24,
    ForkCpuSystem = 25,
    ForkCpuUser = 26,
    MainThreadCpuSystem = 27,
    MainThreadCpuUser = 28,
    CpuSystem = 29,
    CpuUser = 30,
    BlockedClients = 31,
    /// Rewrites of the log of writes that are under way.
    LogRewrites = 32,
    /// When the last snapshot was written, seconds since the Unix epoch.
    LastSave = 33,
    ChangesSinceSave = 34,
    FullSyncs = 35,
    PartialSyncs = 36,
    PartialSyncsRefused = 37,
    /// When a client's command was last seen, seconds since the Unix epoch.
    LastRequest = 38,
    /// Unknown while there is no traffic, as are the three that follow.
    Latency = 39,
    ReadLatency = 40,
    WriteLatency = 41,
    OtherLatency = 42,
    MonitorSessions = 43,
    /// Writes that found their key; see [`Metric::WriteMisses`].
    WriteHits = 44,
    /// Writes that found no key: worked out from how many keys there are, because no engine counts it.
    WriteMisses = 45,
    /// `AUTH` and `HELLO`, of clients and of our own management connections.
    Logins = 46,
    LoginsRefused = 47,
    Flushes = 48,
    Gets = 49,
    Sets = 50,
    Touches = 51,
    HostCpuUser = 100,
    HostCpuNice = 101,
    HostCpuSystem = 102,
    HostCpuIdle = 103,
    HostCpuIowait = 104,
    HostCpuIrq = 105,
    HostCpuSteal = 106,
    MemoryFree = 107,
    MemoryAvailable = 108,
    /// Memory of the host that no server has a claim to, even if each used all of its limit.
    MemoryProvisional = 109,
    StorageAvailable = 110,
    StorageFree = 111,
    /// Requests of all kinds.
    TotalRequests = 112,
}

/// How raw samples become one of a longer interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    /// The mean, weighted by time.
    Mean,
    /// The newest.
    Newest,
}

impl Metric {
    pub(super) const fn fold(self) -> Fold {
        match self {
            Self::LastSave | Self::LastRequest | Self::UsedMemoryPeak => Fold::Newest,
            _ => Fold::Mean,
        }
    }

    pub(super) const fn code(self) -> u16 {
        self as u16
    }
}

/// What is kept of a server.
pub(super) static SERVER: &[Metric] = &[
    Metric::Connections,
    Metric::EvictedKeys,
    Metric::ExpiredKeys,
    Metric::UsedMemory,
    Metric::UsedMemoryPeak,
    Metric::UsedMemoryRss,
    Metric::LuaMemory,
    Metric::FragmentationRatio,
    Metric::MemoryNotCountedForEviction,
    Metric::Keys,
    Metric::ExpiringKeys,
    Metric::AverageTtl,
    Metric::TotalRequests,
    Metric::ReadHits,
    Metric::ReadMisses,
    Metric::WriteHits,
    Metric::WriteMisses,
    Metric::PubsubChannels,
    Metric::PubsubPatterns,
    Metric::ForkCpuSystem,
    Metric::ForkCpuUser,
    Metric::MainThreadCpuSystem,
    Metric::MainThreadCpuUser,
    Metric::CpuSystem,
    Metric::CpuUser,
    Metric::BlockedClients,
    Metric::LogRewrites,
    Metric::LastSave,
    Metric::ChangesSinceSave,
    Metric::FullSyncs,
    Metric::PartialSyncs,
    Metric::PartialSyncsRefused,
];

/// What is kept of a database: of its primaries, and of its endpoint.
pub(super) static DATABASE: &[Metric] = &[
    Metric::Connections,
    Metric::ConnectionsReceived,
    Metric::ConnectionsRefused,
    Metric::BytesIn,
    Metric::BytesOut,
    Metric::EvictedKeys,
    Metric::ExpiredKeys,
    Metric::Operations,
    Metric::UsedMemory,
    Metric::LuaMemory,
    Metric::FragmentationRatio,
    Metric::MemoryNotCountedForEviction,
    Metric::Keys,
    Metric::ExpiringKeys,
    Metric::ReadRequests,
    Metric::WriteRequests,
    Metric::OtherRequests,
    Metric::ReadHits,
    Metric::ReadMisses,
    Metric::WriteHits,
    Metric::WriteMisses,
    Metric::PubsubChannels,
    Metric::PubsubPatterns,
    Metric::ForkCpuSystem,
    Metric::ForkCpuUser,
    Metric::MainThreadCpuSystem,
    Metric::MainThreadCpuUser,
    Metric::CpuSystem,
    Metric::CpuUser,
    Metric::LogRewrites,
    Metric::LastRequest,
    Metric::Latency,
    Metric::ReadLatency,
    Metric::WriteLatency,
    Metric::OtherLatency,
    Metric::MonitorSessions,
    Metric::Logins,
    Metric::LoginsRefused,
    Metric::Flushes,
    Metric::Gets,
    Metric::Sets,
    Metric::Touches,
];

/// What is kept of a host, and of all hosts together.
pub(super) static HOST: &[Metric] = &[
    Metric::HostCpuUser,
    Metric::HostCpuNice,
    Metric::HostCpuSystem,
    Metric::HostCpuIdle,
    Metric::HostCpuIowait,
    Metric::HostCpuIrq,
    Metric::HostCpuSteal,
    Metric::MemoryFree,
    Metric::MemoryAvailable,
    Metric::MemoryProvisional,
    Metric::StorageAvailable,
    Metric::StorageFree,
    Metric::BytesIn,
    Metric::BytesOut,
    Metric::Connections,
    Metric::TotalRequests,
    Metric::Latency,
    Metric::LogRewrites,
];

//! Commands of clients, told apart: which only read, which may write, and which are our own housekeeping and are not counted.

use pilothouse_engine::Load;

/// Commands that our management connection and replication send. Rare from clients, and most are withheld from them.
const HOUSEKEEPING: &[&str] = &[
    "ping",
    "info",
    "hello",
    "auth",
    "replconf",
    "psync",
    "sync",
    "role",
    "replicaof",
    "slaveof",
    "failover",
    "config",
    "acl",
    "client",
    "command",
    "cluster",
    "latency",
    "bgsave",
    "bgrewriteaof",
    "shutdown",
    "debug",
    "memory",
    "module",
    "reset",
    "quit",
    "lastsave",
];

/// Commands that only read keys.
const READS: &[&str] = &[
    "bitcount",
    "bitfield_ro",
    "bitpos",
    "dbsize",
    "dump",
    "eval_ro",
    "evalsha_ro",
    "exists",
    "expiretime",
    "fcall_ro",
    "geodist",
    "geohash",
    "geopos",
    "georadius_ro",
    "georadiusbymember_ro",
    "geosearch",
    "get",
    "getbit",
    "getrange",
    "hexists",
    "hget",
    "hgetall",
    "hkeys",
    "hlen",
    "hmget",
    "hrandfield",
    "hscan",
    "hstrlen",
    "hvals",
    "keys",
    "lcs",
    "lindex",
    "llen",
    "lolwut",
    "lpos",
    "lrange",
    "mget",
    "object",
    "pexpiretime",
    "pfcount",
    "pttl",
    "randomkey",
    "scan",
    "scard",
    "sdiff",
    "sinter",
    "sintercard",
    "sismember",
    "smembers",
    "smismember",
    "sort_ro",
    "srandmember",
    "sscan",
    "strlen",
    "substr",
    "sunion",
    "touch",
    "ttl",
    "type",
    "xinfo",
    "xlen",
    "xpending",
    "xrange",
    "xread",
    "xrevrange",
    "zcard",
    "zcount",
    "zdiff",
    "zinter",
    "zintercard",
    "zlexcount",
    "zmscore",
    "zrandmember",
    "zrange",
    "zrangebylex",
    "zrangebyscore",
    "zrank",
    "zrevrange",
    "zrevrangebylex",
    "zrevrangebyscore",
    "zrevrank",
    "zscan",
    "zscore",
    "zunion",
];

/// Commands that may write keys.
const WRITES: &[&str] = &[
    "append",
    "bitfield",
    "bitop",
    "blmove",
    "blmpop",
    "blpop",
    "brpop",
    "brpoplpush",
    "bzmpop",
    "bzpopmax",
    "bzpopmin",
    "copy",
    "decr",
    "decrby",
    "del",
    "expire",
    "expireat",
    "flushall",
    "flushdb",
    "geoadd",
    "georadius",
    "georadiusbymember",
    "geosearchstore",
    "getdel",
    "getex",
    "getset",
    "hdel",
    "hexpire",
    "hincrby",
    "hincrbyfloat",
    "hmset",
    "hset",
    "hsetnx",
    "incr",
    "incrby",
    "incrbyfloat",
    "linsert",
    "lmove",
    "lmpop",
    "lpop",
    "lpush",
    "lpushx",
    "lrem",
    "lset",
    "ltrim",
    "migrate",
    "move",
    "mset",
    "msetnx",
    "persist",
    "pexpire",
    "pexpireat",
    "pfadd",
    "pfmerge",
    "psetex",
    "rename",
    "renamenx",
    "restore",
    "rpop",
    "rpoplpush",
    "rpush",
    "rpushx",
    "sadd",
    "sdiffstore",
    "set",
    "setbit",
    "setex",
    "setnx",
    "setrange",
    "sinterstore",
    "smove",
    "sort",
    "spop",
    "srem",
    "sunionstore",
    "unlink",
    "xack",
    "xadd",
    "xautoclaim",
    "xclaim",
    "xdel",
    "xgroup",
    "xreadgroup",
    "xsetid",
    "xtrim",
    "zadd",
    "zdiffstore",
    "zincrby",
    "zinterstore",
    "zmpop",
    "zpopmax",
    "zpopmin",
    "zrangestore",
    "zrem",
    "zremrangebylex",
    "zremrangebyrank",
    "zremrangebyscore",
    "zunionstore",
];

/// Kind of a command: index into the arrays of [`Requests`].
pub(super) const READ: usize = 0;
pub(super) const WRITE: usize = 1;
pub(super) const OTHER: usize = 2;

/// Commands that take away the one key that they name, where it is there.
const REMOVALS: &[&str] = &["del", "unlink", "getdel"];

/// How often commands were called since the server began, and the time spent in them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Requests {
    calls: [u64; 3],
    micros: [u64; 3],
    /// Those of [`REMOVALS`], which are writes as well.
    removals: u64,
}

/// What was called between two moments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Done {
    pub(super) calls: [f64; 3],
    pub(super) micros: [f64; 3],
    pub(super) removals: f64,
    /// The server began anew in between: its other totals did so as well.
    pub(super) restarted: bool,
}

impl Requests {
    pub(super) fn of(load: &Load) -> Self {
        let mut requests = Self::default();
        for (command, count) in &load.calls {
            if let Some(kind) = kind_of(command) {
                requests.calls[kind] += count;
                requests.micros[kind] += load.micros.get(command).copied().unwrap_or(0);
            }
        }
        requests.removals = REMOVALS.iter().filter_map(|name| load.calls.get(*name)).sum();
        requests
    }

    /// What was called since `before`; all of it after a restart.
    pub(super) fn since(&self, before: &Self) -> Done {
        let restarted = self.calls.iter().zip(before.calls).any(|(now, then)| *now < then);
        let before = if restarted { Self::default() } else { *before };
        let grown =
            |now: [u64; 3], then: [u64; 3]| std::array::from_fn(|kind| now[kind].saturating_sub(then[kind]) as f64);
        Done {
            calls: grown(self.calls, before.calls),
            micros: grown(self.micros, before.micros),
            removals: self.removals.saturating_sub(before.removals) as f64,
            restarted,
        }
    }
}

/// What kind of command this is, by its own name or `container|subcommand`; `None` for housekeeping.
fn kind_of(command: &str) -> Option<usize> {
    let name = command.split('|').next().unwrap_or(command);
    if READS.binary_search(&name).is_ok() {
        Some(READ)
    } else if WRITES.binary_search(&name).is_ok() {
        Some(WRITE)
    } else if HOUSEKEEPING.contains(&name) {
        None
    } else {
        Some(OTHER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_lists_are_sorted_and_disjoint() {
        for list in [READS, WRITES] {
            assert!(list.windows(2).all(|pair| pair[0] < pair[1]), "{list:?}");
        }
        for name in READS.iter().chain(WRITES) {
            assert!(!(READS.contains(name) && WRITES.contains(name)), "{name}");
            assert!(!HOUSEKEEPING.contains(name), "{name}");
        }
    }

    #[test]
    fn commands_are_told_apart() {
        assert_eq!(kind_of("get"), Some(READ));
        assert_eq!(kind_of("set"), Some(WRITE));
        assert_eq!(kind_of("xinfo|stream"), Some(READ));
        assert_eq!(kind_of("publish"), Some(OTHER));
        assert_eq!(kind_of("config|get"), None);
        assert_eq!(kind_of("info"), None);
    }
}

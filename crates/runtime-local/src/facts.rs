//! What the machine is and how loaded it is, as the kernel tells under `/proc`.

use std::fs;
use std::path::Path;

use pilothouse_model::{HostFacts, MachineLoad, Timestamp};

use crate::addresses;
use crate::cgroup::unified_membership;

/// What the host is. Blocking. What cannot be told is empty or zero.
pub(crate) fn host(data_dir: &Path, limits_unavailable: Option<String>) -> HostFacts {
    let names = rustix::system::uname();
    let os = read("/etc/os-release")
        .or_else(|| read("/usr/lib/os-release"))
        .unwrap_or_default();
    let os = |key: &str| os_release(&os, key).unwrap_or_default();
    let node = names.nodename().to_string_lossy();
    let stat = read("/proc/stat").unwrap_or_default();
    HostFacts {
        hostname: node.split('.').next().unwrap_or_default().to_owned(),
        architecture: names.machine().to_string_lossy().into_owned(),
        cores: std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX)),
        memory_bytes: memory_total(),
        os_id: os("ID"),
        os_like: os("ID_LIKE"),
        os_version_id: os("VERSION_ID"),
        os_pretty_name: os("PRETTY_NAME"),
        addresses: addresses::of_this_machine().unwrap_or_else(|error| {
            tracing::warn!(%error, "the addresses of this machine cannot be listed");
            Vec::new()
        }),
        data_dir: data_dir.to_owned(),
        storage_bytes: rustix::fs::statvfs(data_dir).map_or(0, |facts| facts.f_blocks * facts.f_frsize),
        booted_at: Timestamp::from_millis(boot_seconds(&stat).saturating_mul(1000)),
        limits_unavailable,
    }
}

/// How loaded the host is. A few small reads of memory; nothing waits for a disk.
pub(crate) fn load(data_dir: &Path) -> MachineLoad {
    let cpu = read("/proc/stat").map(|text| cpu_ticks(&text)).unwrap_or_default();
    let memory = read("/proc/meminfo").unwrap_or_default();
    let limit = cgroup_memory();
    let within = |free: u64| limit.map_or(free, |(limit, used)| free.min(limit.saturating_sub(used)));
    let storage = rustix::fs::statvfs(data_dir);
    let storage = storage.as_ref().ok();
    let (network_in_bytes, network_out_bytes) = read("/proc/net/dev").map(|text| traffic(&text)).unwrap_or_default();
    MachineLoad {
        cpu_user: cpu[0],
        cpu_nice: cpu[1],
        cpu_system: cpu[2],
        cpu_idle: cpu[3],
        cpu_iowait: cpu[4],
        cpu_irq: cpu[5] + cpu[6],
        cpu_steal: cpu[7],
        memory_available_bytes: within(meminfo(&memory, "MemAvailable")),
        memory_free_bytes: within(meminfo(&memory, "MemFree")),
        storage_available_bytes: storage.map_or(0, |facts| facts.f_bavail * facts.f_frsize),
        storage_free_bytes: storage.map_or(0, |facts| facts.f_bfree * facts.f_frsize),
        network_in_bytes,
        network_out_bytes,
    }
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn memory_total() -> u64 {
    let total = read("/proc/meminfo").map_or(0, |text| meminfo(&text, "MemTotal"));
    cgroup_memory().map_or(total, |(limit, _)| total.min(limit))
}

/// The tightest memory limit of the control groups that we are in, and what is used of it.
fn cgroup_memory() -> Option<(u64, u64)> {
    let membership = read("/proc/self/cgroup")?;
    let version_1 = membership.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers
            .split(',')
            .any(|controller| controller == "memory")
            .then_some(path)
    });
    let roots = [
        (
            "/sys/fs/cgroup",
            unified_membership(&membership),
            "memory.max",
            "memory.current",
        ),
        (
            "/sys/fs/cgroup/memory",
            version_1,
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
        ),
    ];
    roots
        .into_iter()
        .filter_map(|(root, path, limit, used)| Some((Path::new(root), path?.trim_start_matches('/'), limit, used)))
        .flat_map(|(root, path, limit, used)| {
            let number = |group: &Path, file: &str| read(root.join(group).join(file))?.trim().parse::<u64>().ok();
            Path::new(path)
                .ancestors()
                .filter_map(|group| Some((number(group, limit)?, number(group, used)?)))
                .collect::<Vec<_>>()
        })
        .min_by_key(|(limit, used)| limit.saturating_sub(*used))
}

/// A value of os-release, without its quotes.
fn os_release(text: &str, key: &str) -> Option<String> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(value.trim().trim_matches(['"', '\'']).to_owned())
}

/// A line of meminfo, in bytes.
fn meminfo(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

/// user, nice, system, idle, iowait, irq, softirq, steal.
fn cpu_ticks(stat: &str) -> [u64; 8] {
    let mut ticks = [0; 8];
    let line = stat
        .lines()
        .find_map(|line| line.strip_prefix("cpu "))
        .unwrap_or_default();
    for (tick, text) in ticks.iter_mut().zip(line.split_ascii_whitespace()) {
        *tick = text.parse().unwrap_or(0);
    }
    ticks
}

fn boot_seconds(stat: &str) -> i64 {
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "));
    line.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Bytes received and sent by all interfaces but loopback.
fn traffic(text: &str) -> (u64, u64) {
    let interfaces = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.trim() != "lo");
    interfaces.fold((0, 0), |(received, sent), (_, numbers)| {
        let numbers: Vec<u64> = numbers
            .split_ascii_whitespace()
            .filter_map(|text| text.parse().ok())
            .collect();
        let at = |index: usize| numbers.get(index).copied().unwrap_or(0);
        (received + at(0), sent + at(8))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_texts_are_read() {
        let stat = "cpu  10 20 30 40 50 60 70 80 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\nintr 5\nbtime 1700000000\n";
        assert_eq!(cpu_ticks(stat), [10, 20, 30, 40, 50, 60, 70, 80]);
        assert_eq!(boot_seconds(stat), 1_700_000_000);
        assert_eq!(cpu_ticks(""), [0; 8]);
        let memory = "MemTotal:       16384 kB\nMemFree:         1024 kB\nMemAvailable:    2048 kB\n";
        assert_eq!(
            (
                meminfo(memory, "MemTotal"),
                meminfo(memory, "MemFree"),
                meminfo(memory, "Nope")
            ),
            (16 << 20, 1 << 20, 0)
        );
        let devices = "Inter-|   Receive |  Transmit\n face |bytes    packets|bytes\n\
                       \u{20}   lo: 999 1 0 0 0 0 0 0 999 1 0 0 0 0 0 0\n\
                       \u{20} eth0: 100 1 0 0 0 0 0 0 200 1 0 0 0 0 0 0\n\
                       \u{20} eth1:1 1 0 0 0 0 0 0 2 1 0 0 0 0 0 0\n";
        assert_eq!(traffic(devices), (101, 202));
        let os = "PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\nVERSION_ID='12'\n";
        assert_eq!(os_release(os, "PRETTY_NAME").unwrap(), "Debian GNU/Linux 12");
        assert_eq!(os_release(os, "VERSION_ID").unwrap(), "12");
        assert_eq!(os_release(os, "ID").unwrap(), "debian");
        assert_eq!(os_release(os, "ID_LIKE"), None);
    }

    #[test]
    fn this_machine_is_told() {
        let facts = host(Path::new("/"), None);
        assert!(!facts.hostname.is_empty() && !facts.architecture.is_empty());
        assert!(facts.cores > 0 && facts.memory_bytes > 1 << 20 && facts.storage_bytes > 0);
        assert!(facts.booted_at.as_secs() > 0);
        let load = load(Path::new("/"));
        assert!(load.cpu_idle > 0 && load.memory_available_bytes <= facts.memory_bytes);
        assert!(load.storage_available_bytes <= load.storage_free_bytes);
    }
}

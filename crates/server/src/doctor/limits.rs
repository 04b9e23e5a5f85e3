//! Limits of the system that databases run into.

use pilothouse_model::{HostFacts, MachineLoad};
use rustix::process::{Resource, getrlimit};

use super::{Check, Verdict};
use crate::output::bytes;

/// The gateway holds two sockets for each connection of a client.
const ENOUGH_FILES: u64 = 65_536;

/// Redis asks for this backlog.
const ENOUGH_BACKLOG: u64 = 511;

/// Checks of everything that the system limits.
pub(super) fn checks(facts: &HostFacts, load: MachineLoad) -> Vec<Check> {
    let files = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let kernel = |name: &str| std::fs::read_to_string(name).unwrap_or_default().trim().to_owned();
    let mut checks = vec![memory(facts, load), cgroups(facts), open_files(files)];
    checks.extend(overcommit(&kernel("/proc/sys/vm/overcommit_memory")));
    checks.extend(backlog(&kernel("/proc/sys/net/core/somaxconn")));
    checks.extend(huge_pages(&kernel("/sys/kernel/mm/transparent_hugepage/enabled")));
    checks
}

fn memory(facts: &HostFacts, load: MachineLoad) -> Check {
    let (cores, all, free) = (
        facts.cores,
        bytes(facts.memory_bytes),
        bytes(load.memory_available_bytes),
    );
    Check::new(
        "machine",
        Verdict::Ok,
        format!("{cores} processors, {all} memory, {free} of it available"),
    )
}

fn cgroups(facts: &HostFacts) -> Check {
    match &facts.limits_unavailable {
        None => Check::new(
            "limits",
            Verdict::Ok,
            "memory and processors of servers are limited by cgroups and by their own settings",
        ),
        Some(reason) => {
            let finding = format!("servers are limited by their own settings only, not by cgroups: {reason}");
            let check = Check::new("limits", Verdict::Note, finding);
            check.remedy("run under systemd with Delegate=yes, so that a server that ignores its own limit cannot take the machine down")
        }
    }
}

fn open_files(hard: u64) -> Check {
    if hard >= ENOUGH_FILES {
        return Check::new(
            "limits",
            Verdict::Ok,
            format!("up to {hard} open files for each process"),
        );
    }
    let finding = format!(
        "up to {hard} open files for each process: about {} client connections in all",
        hard / 2
    );
    Check::new("limits", Verdict::Warning, finding)
        .remedy("raise it: ulimit -Hn 1048576, or LimitNOFILE=1048576 in the service file")
}

fn overcommit(value: &str) -> Option<Check> {
    (value == "0" || value == "2").then(|| {
        let finding =
            format!("vm.overcommit_memory is {value}: a snapshot of a database larger than the free memory may fail");
        Check::new("kernel", Verdict::Note, finding).remedy("sysctl vm.overcommit_memory=1")
    })
}

fn backlog(value: &str) -> Option<Check> {
    let value: u64 = value.parse().ok()?;
    (value < ENOUGH_BACKLOG).then(|| {
        let finding = format!("net.core.somaxconn is {value}: bursts of new connections are refused");
        Check::new("kernel", Verdict::Warning, finding).remedy("sysctl net.core.somaxconn=4096")
    })
}

fn huge_pages(value: &str) -> Option<Check> {
    value.contains("[always]").then(|| {
        let finding = "transparent huge pages are always on: snapshots cost more memory and time";
        Check::new("kernel", Verdict::Note, finding)
            .remedy("echo madvise > /sys/kernel/mm/transparent_hugepage/enabled")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_comes_with_what_to_do() {
        for check in [
            Some(open_files(1024)),
            overcommit("0"),
            backlog("128"),
            huge_pages("[always] madvise never"),
            Some(cgroups(&HostFacts {
                limits_unavailable: Some("no cgroup v2".into()),
                ..HostFacts::default()
            })),
        ] {
            let check = check.expect("this is worth a word");
            assert!(check.verdict > Verdict::Ok && check.remedy.is_some(), "{check:?}");
        }
        assert_eq!(open_files(1 << 20).verdict, Verdict::Ok);
        assert_eq!(
            (
                overcommit("1"),
                backlog("4096"),
                huge_pages("always [madvise] never"),
                backlog("")
            ),
            (None, None, None, None)
        );
    }
}

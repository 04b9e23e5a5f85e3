//! Limits of memory and processor through control groups (version 2), where a part of the tree was handed to us.
//!
//! ```text
//! <our group>/             what the service manager delegated
//!   control/               ourselves: a group with limits on its children may have no processes of its own
//!   servers/<server id>/   one group for each server, joined by its launcher
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pilothouse_model::ServerId;
use pilothouse_runtime::{Limits, RuntimeError};

use crate::error::{Context, system};

/// Length of the period in which a processor share counts, microseconds; the kernel's own default.
const CPU_PERIOD: u64 = 100_000;

/// The part of the tree that is ours.
#[derive(Clone, Debug)]
pub(crate) struct ControlGroups {
    servers: PathBuf,
}

impl ControlGroups {
    /// Takes possession of our part of the tree; the reason when there is none. Moves this process into `control/`.
    pub(crate) fn take_over() -> Result<Self, String> {
        let membership =
            fs::read_to_string("/proc/self/cgroup").map_err(|error| format!("/proc/self/cgroup: {error}"))?;
        let mounts =
            fs::read_to_string("/proc/self/mountinfo").map_err(|error| format!("/proc/self/mountinfo: {error}"))?;
        let mount = unified_mount(&mounts).ok_or("no version 2 control groups are mounted")?;
        let own = unified_membership(&membership).ok_or("this process is in no version 2 control group")?;
        let own = mount.join(own.trim_start_matches('/'));
        // A service manager may start us in a `control/` of its own making.
        let base = match own.parent() {
            Some(parent) if own.ends_with("control") && is_delegated(parent) => parent.to_owned(),
            _ => own,
        };
        Self::take_over_at(&base, is_delegated(&base))
    }

    fn take_over_at(base: &Path, delegated: bool) -> Result<Self, String> {
        let shown = base.display();
        let controllers =
            fs::read_to_string(base.join("cgroup.controllers")).map_err(|error| format!("{shown}: {error}"))?;
        for needed in ["memory", "cpu"] {
            if !controllers
                .split_ascii_whitespace()
                .any(|controller| controller == needed)
            {
                return Err(format!("control group {shown} has no {needed} controller"));
            }
        }
        if !delegated {
            return Err(format!(
                "control group {shown} is not delegated to us (systemd: Delegate=yes, DelegateSubgroup=control)"
            ));
        }
        let (control, servers) = (base.join("control"), base.join("servers"));
        let refused = |what: &str, error: io::Error| format!("control group {shown}: {what}: {error}");
        for folder in [&control, &servers] {
            make(folder).map_err(|error| refused("making a group", error))?;
        }
        fs::write(control.join("cgroup.procs"), "0").map_err(|error| refused("moving into it", error))?;
        for folder in [base, &servers] {
            fs::write(folder.join("cgroup.subtree_control"), "+memory +cpu")
                .map_err(|error| refused("enabling controllers", error))?;
        }
        Ok(Self { servers })
    }

    /// Makes the group of a server and sets its limits. The launcher joins it.
    pub(crate) fn prepare(&self, server: ServerId, limits: Limits) -> Result<PathBuf, RuntimeError> {
        let group = self.group(server);
        make(&group).at("making a control group", &group)?;
        let memory = match limits.memory_bytes {
            0 => "max".to_owned(),
            bytes => bytes.to_string(),
        };
        let cpu = match limits.cpu_millis {
            0 => format!("max {CPU_PERIOD}"),
            // Less than 1 ms a period is refused by the kernel.
            millis => format!("{} {CPU_PERIOD}", (millis.saturating_mul(CPU_PERIOD) / 1000).max(1000)),
        };
        for (file, value) in [("memory.max", memory), ("cpu.max", cpu)] {
            let path = group.join(file);
            fs::write(&path, value).at("setting a limit", &path)?;
        }
        Ok(group)
    }

    /// Kills everything in the group of a server. Older kernels cannot (before 5.14); the session is killed besides.
    pub(crate) fn kill(&self, server: ServerId) {
        if let Err(error) = fs::write(self.group(server).join("cgroup.kill"), "1")
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(%server, %error, "the control group cannot be killed as a whole");
        }
    }

    /// Removes the group of a server that is gone.
    pub(crate) fn remove(&self, server: ServerId) -> Result<(), RuntimeError> {
        let group = self.group(server);
        match fs::remove_dir(&group) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(system("removing a control group", &group, error))
            }
            _ => Ok(()),
        }
    }

    fn group(&self, server: ServerId) -> PathBuf {
        self.servers.join(server.to_string())
    }
}

/// Whether a group was handed to us: said by the service manager in an attribute, or shown by its owner. Root can write to every group,
/// so that alone means nothing.
fn is_delegated(group: &Path) -> bool {
    let marked = ["user.delegate", "trusted.delegate"].iter().any(|name| {
        let mut value = [0_u8; 1];
        rustix::fs::getxattr(group, *name, &mut value).is_ok_and(|length| length == 1) && value == *b"1"
    });
    let own = rustix::process::geteuid();
    marked || !own.is_root() && rustix::fs::stat(group).is_ok_and(|facts| facts.st_uid == own.as_raw())
}

fn make(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Where the version 2 tree is mounted.
fn unified_mount(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        kind.starts_with("cgroup2 ")
            .then(|| place.split(' ').nth(4).map(PathBuf::from))?
    })
}

/// Our place in the version 2 tree.
pub(crate) fn unified_membership(cgroup: &str) -> Option<&str> {
    cgroup.lines().find_map(|line| line.strip_prefix("0::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_found_beside_version_1() {
        let mounts = "31 23 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      32 31 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(unified_mount(mounts).unwrap(), Path::new("/sys/fs/cgroup/unified"));
        assert_eq!(unified_mount("31 23 0:26 / /x rw - cgroup cgroup rw\n"), None);
        assert_eq!(
            unified_membership("4:memory:/a\n0::/system.slice/p.service\n"),
            Some("/system.slice/p.service")
        );
    }

    #[test]
    fn a_group_that_is_not_ours_is_left_alone() {
        let temporary = tempfile::tempdir().unwrap();
        let base = temporary.path();
        assert!(
            ControlGroups::take_over_at(base, true)
                .unwrap_err()
                .contains("No such file")
        );
        fs::write(base.join("cgroup.controllers"), "cpuset io\n").unwrap();
        assert!(
            ControlGroups::take_over_at(base, true)
                .unwrap_err()
                .contains("no memory controller")
        );
        fs::write(base.join("cgroup.controllers"), "cpuset cpu io memory\n").unwrap();
        assert!(
            ControlGroups::take_over_at(base, false)
                .unwrap_err()
                .contains("not delegated")
        );
        assert!(!base.join("control").exists());
    }

    #[test]
    fn limits_are_written_as_the_kernel_reads_them() {
        let temporary = tempfile::tempdir().unwrap();
        fs::write(temporary.path().join("cgroup.controllers"), "cpu memory\n").unwrap();
        let groups = ControlGroups::take_over_at(temporary.path(), true).unwrap();
        let server = ServerId::new();
        let check = |limits, memory: &str, cpu: &str| {
            let group = groups.prepare(server, limits).unwrap();
            assert_eq!(fs::read_to_string(group.join("memory.max")).unwrap(), memory);
            assert_eq!(fs::read_to_string(group.join("cpu.max")).unwrap(), cpu);
        };
        check(Limits::default(), "max", "max 100000");
        check(
            Limits {
                memory_bytes: 1 << 30,
                cpu_millis: 1500,
                open_files: 0,
            },
            "1073741824",
            "150000 100000",
        );
        check(
            Limits {
                cpu_millis: 1,
                ..Limits::default()
            },
            "max",
            "1000 100000",
        );
    }
}

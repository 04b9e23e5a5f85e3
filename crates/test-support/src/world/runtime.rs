//! The world as a runtime.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pilothouse_engine::Fence;
use pilothouse_model::{HostFacts, MachineLoad, ProcessState, ServerId, ServerPorts};
use pilothouse_runtime::{DataFile, Exit, LaunchRequest, ProcessActivity, Running, Runtime, RuntimeError};
use tokio::sync::mpsc;

use super::{Dataset, Process, World};

/// Where a server would be.
pub(super) fn directory(server: ServerId) -> PathBuf {
    PathBuf::from("/world/servers").join(server.to_string())
}

fn failed(what: &'static str, path: &Path, source: std::io::Error) -> RuntimeError {
    let path = path.to_owned();
    RuntimeError::Io { what, path, source }
}

#[async_trait]
impl Runtime for World {
    fn directory(&self, server: ServerId) -> PathBuf {
        directory(server)
    }

    async fn launch(&self, request: LaunchRequest) -> Result<Running, RuntimeError> {
        let mut state = self.lock();
        if state.disk_full {
            return Err(RuntimeError::NoSpace {
                path: directory(request.server),
            });
        }
        if let Some(log) = state.launch_failures.pop() {
            return Err(RuntimeError::EndedAtOnce {
                how: "exit code 1".to_owned(),
                log,
            });
        }
        state.next_pid += 1;
        let (pid, history) = (state.next_pid, state.new_history());
        let server = state.servers.entry(request.server).or_default();
        if server.process.is_some() {
            return Err(RuntimeError::Locked);
        }
        let argument = |name: &str| {
            request
                .arguments
                .iter()
                .find_map(|argument| argument.strip_prefix(name)?.parse().ok())
        };
        server.persistent = argument("persistent=").unwrap_or(0) == 1;
        // A restart loads what the files hold, under a new history: what replicas knew of the old one is void.
        let mut loaded = server.disk.clone().filter(|_| server.persistent).unwrap_or_default();
        if let Some(placed) = &server.placed {
            loaded.writes = Dataset::from_file(placed).ok_or_else(|| RuntimeError::EndedAtOnce {
                how: "exit code 1".to_owned(),
                log: "the file cannot be loaded".to_owned(),
            })?;
        }
        let data = Dataset {
            history,
            previous: String::new(),
            ..loaded
        };
        server.process = Some(Process {
            pid,
            incarnation: request.incarnation,
            stopped: false,
            stalled: false,
            data,
            source_port: None,
            source_server: None,
            link_up: false,
            syncing: false,
            received: Vec::new(),
            unfed_steps: 0,
            paused: false,
            fence: Fence::Closed,
            port: argument("port=").unwrap_or(0),
            settings: None,
        });
        if server.persistent {
            server.disk = server.process.as_ref().map(|process| process.data.clone());
        }
        Ok(Running {
            pid,
            incarnation: request.incarnation,
        })
    }

    async fn adopt(&self, server: ServerId) -> Result<(ProcessState, Option<Running>), RuntimeError> {
        let state = self.lock();
        let process = state.servers.get(&server).and_then(|server| server.process.as_ref());
        Ok(process.map_or((ProcessState::Absent, None), |process| {
            let running = Running {
                pid: process.pid,
                incarnation: process.incarnation,
            };
            (ProcessState::Running { pid: process.pid }, Some(running))
        }))
    }

    fn state(&self, server: ServerId) -> ProcessState {
        let state = self.lock();
        let process = state.servers.get(&server).and_then(|server| server.process.as_ref());
        process.map_or(ProcessState::Absent, |process| ProcessState::Running {
            pid: process.pid,
        })
    }

    async fn kill(&self, server: ServerId, _deadline: Instant) -> Result<(), RuntimeError> {
        self.lock().end(server, "signal 9");
        Ok(())
    }

    async fn wait_released(&self, server: ServerId, _deadline: Instant) -> Result<(), RuntimeError> {
        if self
            .lock()
            .servers
            .get(&server)
            .is_some_and(|server| server.process.is_some())
        {
            return Err(RuntimeError::Timeout {
                what: "the end of the server",
            });
        }
        Ok(())
    }

    fn take_exits(&self) -> Option<mpsc::UnboundedReceiver<Exit>> {
        self.lock().exits_taken.take()
    }

    fn activity(&self, server: ServerId) -> Option<ProcessActivity> {
        let state = self.lock();
        let process = state.servers.get(&server)?.process.as_ref()?;
        Some(ProcessActivity {
            cpu_time: Duration::ZERO,
            stopped: process.stopped,
        })
    }

    async fn write_file(&self, server: ServerId, _path: PathBuf, _content: Vec<u8>) -> Result<(), RuntimeError> {
        if self.lock().disk_full {
            return Err(RuntimeError::NoSpace {
                path: directory(server),
            });
        }
        Ok(())
    }

    async fn place_file(&self, server: ServerId, from: PathBuf, _to: PathBuf) -> Result<(), RuntimeError> {
        let content = std::fs::read(&from).map_err(|error| failed("placing a file", &from, error))?;
        let mut state = self.lock();
        if state.disk_full {
            return Err(RuntimeError::NoSpace {
                path: directory(server),
            });
        }
        state.servers.entry(server).or_default().placed = Some(content);
        std::fs::remove_file(&from).map_err(|error| failed("placing a file", &from, error))
    }

    async fn lend_file(&self, server: ServerId, path: PathBuf, to: PathBuf) -> Result<(), RuntimeError> {
        let content = self
            .lock()
            .servers
            .get(&server)
            .and_then(|server| server.snapshot.clone());
        let content = content.ok_or_else(|| failed("lending a file", &path, std::io::ErrorKind::NotFound.into()))?;
        std::fs::write(&to, content).map_err(|error| failed("lending a file", &to, error))
    }

    async fn remove_file(&self, server: ServerId, _path: PathBuf) -> Result<(), RuntimeError> {
        if let Some(server) = self.lock().servers.get_mut(&server) {
            server.snapshot = None;
        }
        Ok(())
    }

    async fn data_bytes(&self, server: ServerId) -> Result<u64, RuntimeError> {
        let state = self.lock();
        Ok(state
            .servers
            .get(&server)
            .and_then(|server| server.disk.as_ref())
            .map_or(0, |data| 1 + data.offset()))
    }

    async fn data_files(&self, _server: ServerId) -> Result<Vec<DataFile>, RuntimeError> {
        Ok(Vec::new())
    }

    async fn clear_data(&self, server: ServerId) -> Result<(), RuntimeError> {
        self.lose_disk(server);
        Ok(())
    }

    async fn erase(&self, server: ServerId) -> Result<(), RuntimeError> {
        let mut state = self.lock();
        if state
            .servers
            .get(&server)
            .is_some_and(|server| server.process.is_some())
        {
            return Err(RuntimeError::Locked);
        }
        state.servers.remove(&server);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<ServerId>, RuntimeError> {
        Ok(self.lock().servers.keys().copied().collect())
    }

    async fn log_tail(&self, _server: ServerId, _lines: usize) -> Result<Vec<String>, RuntimeError> {
        Ok(Vec::new())
    }

    async fn free_ports(&self, taken: &[u16], cluster: bool) -> Result<ServerPorts, RuntimeError> {
        let mut state = self.lock();
        let mut next = || {
            loop {
                state.next_port = if state.next_port >= 64_999 {
                    20_000
                } else {
                    state.next_port + 1
                };
                if !taken.contains(&state.next_port) {
                    return state.next_port;
                }
            }
        };
        Ok(ServerPorts {
            plain: next(),
            tls: next(),
            bus: if cluster { next() } else { 0 },
        })
    }

    async fn ask_binaries(&self, name: &str, _arguments: &[&str]) -> Vec<(PathBuf, String)> {
        vec![(PathBuf::from("/world/bin").join(name), "7.0.15".to_owned())]
    }

    async fn host_facts(&self) -> HostFacts {
        HostFacts {
            hostname: "world".to_owned(),
            architecture: "x86_64".to_owned(),
            cores: 2,
            memory_bytes: 8 << 30,
            os_id: "debian".to_owned(),
            os_version_id: "12".to_owned(),
            os_pretty_name: "Debian GNU/Linux 12".to_owned(),
            data_dir: PathBuf::from("/world"),
            storage_bytes: 100 << 30,
            ..HostFacts::default()
        }
    }

    fn machine_load(&self) -> MachineLoad {
        MachineLoad::default()
    }

    async fn disk_usage(&self) -> BTreeMap<ServerId, u64> {
        BTreeMap::new()
    }
}

//! Storage for tests: it keeps a tape of what was done to it, fails on command, and holds syncs back until they are let through.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex};

use redb::StorageBackend;

/// Something that was done to the storage.
#[derive(Clone, Debug)]
pub(crate) enum Done {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
}

/// Which calls fail.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Every write and growth fails for want of space.
    pub(crate) full: bool,
    /// The calls with these numbers fail; see [`Tape::calls`].
    pub(crate) failing_calls: Range<u64>,
    /// A failed sync loses what it should have synced, as a kernel may do; otherwise it is there nevertheless.
    pub(crate) failed_sync_loses: bool,
}

#[derive(Debug, Default)]
struct Inner {
    /// What reads see.
    data: Vec<u8>,
    /// What survives a loss of power.
    synced: Vec<u8>,
    tape: Vec<Done>,
    calls: u64,
    faults: Faults,
    /// How many syncs are let through; `None`: all.
    syncs_allowed: Option<u64>,
    /// How many syncs stand at the gate.
    syncs_waiting: u64,
}

/// The storage. Clones are the same storage.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tape(Arc<(Mutex<Inner>, Condvar)>);

impl Tape {
    pub(crate) fn with_data(data: Vec<u8>) -> Self {
        let tape = Self::default();
        tape.lock(|inner| {
            inner.synced.clone_from(&data);
            inner.data = data;
        });
        tape
    }

    /// What a process that opens it now would read.
    pub(crate) fn data(&self) -> Vec<u8> {
        self.lock(|inner| inner.data.clone())
    }

    /// Everything that was done so far.
    pub(crate) fn done(&self) -> Vec<Done> {
        self.lock(|inner| inner.tape.clone())
    }

    /// How many things were done so far.
    pub(crate) fn position(&self) -> usize {
        self.lock(|inner| inner.tape.len())
    }

    /// How many calls of any kind came so far.
    pub(crate) fn calls(&self) -> u64 {
        self.lock(|inner| inner.calls)
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.lock(|inner| inner.faults = faults);
    }

    /// From now on no sync goes through, until the gate is opened or dropped.
    pub(crate) fn hold_syncs(&self) -> Gate {
        self.lock(|inner| inner.syncs_allowed = Some(0));
        Gate(self.clone())
    }

    /// Whether a sync stands at the gate.
    pub(crate) fn is_sync_waiting(&self) -> bool {
        self.lock(|inner| inner.syncs_waiting > 0)
    }

    fn lock<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.0.0.lock().unwrap())
    }
}

/// Holds syncs back. Dropped after the store, it would let the store wait for ever: make it later.
pub(crate) struct Gate(Tape);

impl Gate {
    /// Lets that many syncs through.
    pub(crate) fn let_through(&self, count: u64) {
        self.0.lock(|inner| inner.syncs_allowed = Some(count));
        self.0.0.1.notify_all();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.0.lock(|inner| inner.syncs_allowed = None);
        self.0.0.1.notify_all();
    }
}

impl Inner {
    /// Counts a call, and fails it if it shall fail.
    fn call(&mut self, grows: bool) -> io::Result<()> {
        self.calls += 1;
        if grows && self.faults.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if self.faults.failing_calls.contains(&self.calls) {
            return Err(io::Error::other("made to fail"));
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        write_at(&mut self.data, offset, bytes);
    }
}

pub(crate) fn write_at(data: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let start = usize::try_from(offset).unwrap();
    if data.len() < start + bytes.len() {
        data.resize(start + bytes.len(), 0);
    }
    data[start..start + bytes.len()].copy_from_slice(bytes);
}

impl StorageBackend for Tape {
    fn len(&self) -> io::Result<u64> {
        self.lock(|inner| Ok(inner.data.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.lock(|inner| {
            inner.call(false)?;
            let start = usize::try_from(offset).unwrap();
            let bytes = inner
                .data
                .get(start..start + out.len())
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            out.copy_from_slice(bytes);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.lock(|inner| {
            inner.call(len > inner.data.len() as u64)?;
            inner.data.resize(usize::try_from(len).unwrap(), 0);
            inner.tape.push(Done::SetLen(len));
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        let (mutex, gate) = &*self.0;
        let mut inner = mutex.lock().unwrap();
        inner.syncs_waiting += 1;
        while inner.syncs_allowed == Some(0) {
            inner = gate.wait(inner).unwrap();
        }
        inner.syncs_waiting -= 1;
        if let Some(left) = &mut inner.syncs_allowed {
            *left -= 1;
        }
        if let Err(error) = inner.call(false) {
            if inner.faults.failed_sync_loses {
                inner.data = inner.synced.clone();
            }
            return Err(error);
        }
        inner.synced = inner.data.clone();
        inner.tape.push(Done::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.lock(|inner| {
            if let Err(error) = inner.call(true) {
                // The half of it that still went through.
                inner.write(offset, &data[..data.len() / 2]);
                return Err(error);
            }
            inner.write(offset, data);
            inner.tape.push(Done::Write(offset, data.to_vec()));
            Ok(())
        })
    }
}

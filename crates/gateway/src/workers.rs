//! Threads that carry bytes: one per core, each with a runtime of its own, so that a connection never changes thread.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The worker threads.
#[derive(Debug)]
pub(crate) struct Workers {
    workers: Vec<Worker>,
    stop: CancellationToken,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
    next: AtomicUsize,
}

#[derive(Debug)]
struct Worker {
    handle: Handle,
    connections: AtomicUsize,
}

/// A connection's place on a worker. Freed when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    workers: Arc<Workers>,
    index: usize,
}

impl Workers {
    /// Starts `count` threads; 0 means one per processor.
    pub(crate) fn start(count: usize) -> io::Result<Arc<Self>> {
        let count = match count {
            0 => thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let stop = CancellationToken::new();
        let mut workers = Vec::with_capacity(count);
        let mut threads = Vec::with_capacity(count);
        for index in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            workers.push(Worker {
                handle: runtime.handle().clone(),
                connections: AtomicUsize::new(0),
            });
            let stop = stop.clone();
            let thread = thread::Builder::new().name(format!("gateway-{index}"));
            threads.push(thread.spawn(move || runtime.block_on(stop.cancelled()))?);
        }
        Ok(Arc::new(Self {
            workers,
            stop,
            threads: Mutex::new(threads),
            next: AtomicUsize::new(0),
        }))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.workers.len()
    }

    /// Ends the threads and with them every connection that is left. Accept loops must have ended before.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
        let threads = std::mem::take(&mut *self.threads.lock().expect("no code panics while it holds this lock"));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
    }

    /// Runs an accept loop, on each worker in turn. The caller owns the handle.
    pub(crate) fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let index = self.next.fetch_add(1, Ordering::Relaxed) % self.workers.len();
        self.workers[index].handle.spawn(future)
    }

    /// A place on the worker with the fewest connections.
    pub(crate) fn place(self: &Arc<Self>) -> Place {
        let loads = self
            .workers
            .iter()
            .map(|worker| worker.connections.load(Ordering::Relaxed));
        let index = loads
            .enumerate()
            .min_by_key(|(_, load)| *load)
            .map_or(0, |(index, _)| index);
        self.workers[index].connections.fetch_add(1, Ordering::Relaxed);
        Place {
            workers: Arc::clone(self),
            index,
        }
    }
}

impl Place {
    /// Which worker.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// The worker's runtime.
    pub(crate) fn handle(&self) -> &Handle {
        &self.workers.workers[self.index].handle
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.workers.workers[self.index]
            .connections
            .fetch_sub(1, Ordering::Relaxed);
    }
}

//! How the control thread stops a connection that lives on a worker thread.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Waker};

/// What a connection is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Stop where you are and give your sockets back.
    Freeze = 1,
    /// End.
    Close = 2,
}

/// One per connection. Asking costs the connection one load per turn; nothing is registered anywhere while bytes flow.
#[derive(Debug, Default)]
pub(crate) struct Leash {
    order: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

impl Leash {
    /// Gives an order. The stronger of two orders counts.
    pub(crate) fn pull(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::AcqRel);
        let waker = self.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The order given, if any.
    pub(crate) fn order(&self) -> Option<Order> {
        match self.order.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Order::Freeze),
            _ => Some(Order::Close),
        }
    }

    /// Makes an order wake `waker`. Must be followed by a look at [`order`](Self::order).
    pub(crate) fn arm(&self, waker: &Waker) {
        let mut slot = self.lock();
        match slot.as_ref() {
            Some(present) if present.will_wake(waker) => {}
            _ => *slot = Some(waker.clone()),
        }
    }

    /// Waits for an order. Cancel-safe.
    pub(crate) async fn pulled(&self) -> Order {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Order> {
        if let Some(order) = self.order() {
            return Poll::Ready(order);
        }
        self.arm(context.waker());
        self.order().map_or(Poll::Pending, Poll::Ready)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.waker.lock().expect("no code panics while it holds this lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_stronger_order_counts() {
        let leash = Leash::default();
        assert_eq!(leash.order(), None);
        leash.pull(Order::Close);
        leash.pull(Order::Freeze);
        assert_eq!(leash.pulled().await, Order::Close);
    }
}

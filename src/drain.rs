//! The orderly end: everyone is told, who is busy finishes, and after a while nobody is waited for any more.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

/// Tells when the end has begun, and knows who is still busy. Clones stand for the same end.
#[derive(Clone, Debug)]
pub struct Drain {
    begun: watch::Receiver<bool>,
    busy: TaskTracker,
}

/// Begins the end.
#[derive(Debug)]
pub struct Trigger {
    begin: watch::Sender<bool>,
    busy: TaskTracker,
}

/// Whoever holds one is busy.
pub type Busy = TaskTrackerToken;

/// An end that has not begun.
pub fn drain() -> (Trigger, Drain) {
    let (begin, begun) = watch::channel(false);
    let busy = TaskTracker::new();
    (Trigger { begin, busy: busy.clone() }, Drain { begun, busy })
}

impl Drain {
    /// Marks the holder as busy.
    pub fn busy(&self) -> Busy {
        self.busy.token()
    }

    /// Whether the end has begun.
    pub fn has_begun(&self) -> bool {
        *self.begun.borrow()
    }

    /// Waits until the end begins.
    pub async fn begun(&mut self) {
        // A trigger that is gone without having been pulled means that all is over.
        drop(self.begun.wait_for(|begun| *begun).await);
    }
}

impl Trigger {
    /// Begins the end. For a fifth of `patience` everything goes on, because peers may not have heard yet that this
    /// endpoint fades; then waits until nobody is busy, for as long as `patience` allows. Whether all finished in time.
    pub async fn pull(self, patience: Duration) -> bool {
        let now = Instant::now();
        self.begin.send_replace(true);
        sleep_until(now + patience / 5).await;
        self.busy.close();
        timeout_at(now + patience, self.busy.wait()).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_is_busy_is_waited_for_but_not_for_ever() {
        let (trigger, mut drain) = drain();
        let busy = drain.busy();
        let started = Instant::now();
        let end = crate::task::spawn(trigger.pull(Duration::from_secs(25)));
        drain.begun().await;
        assert!(drain.has_begun());
        drop(busy);
        assert!(end.await.unwrap());
        assert_eq!(started.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        let (trigger, drain) = drain();
        let _busy = drain.busy();
        assert!(!trigger.pull(Duration::from_secs(25)).await);
    }
}

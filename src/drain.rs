//! The orderly end: everyone is told, who is busy finishes, and after a while nobody is waited for any more.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

/// How far the end has come.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Stage {
    /// It has not begun.
    Running,
    /// No further call should come; calls that do are still answered.
    Draining,
    /// Nobody is busy any more: connections close once their last answer is out.
    Closing,
}

/// Tells how far the end has come, and knows who is still busy. Clones stand for the same end.
#[derive(Clone, Debug)]
pub struct Drain {
    stage: watch::Receiver<Stage>,
    busy: TaskTracker,
    open: TaskTracker,
}

/// Begins the end.
#[derive(Debug)]
pub struct Trigger {
    stage: watch::Sender<Stage>,
    busy: TaskTracker,
    open: TaskTracker,
}

/// Whoever holds one is waited for.
pub type Held = TaskTrackerToken;

/// An end that has not begun.
pub fn drain() -> (Trigger, Drain) {
    let (sender, receiver) = watch::channel(Stage::Running);
    let (busy, open) = (TaskTracker::new(), TaskTracker::new());
    let drain = Drain { stage: receiver, busy: busy.clone(), open: open.clone() };
    (Trigger { stage: sender, busy, open }, drain)
}

impl Drain {
    /// Marks the holder as a call under way.
    pub fn busy(&self) -> Held {
        self.busy.token()
    }

    /// Marks the holder as an open connection.
    pub fn open(&self) -> Held {
        self.open.token()
    }

    /// How far the end has come.
    pub fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// Waits until the end has come that far.
    pub async fn reached(&mut self, stage: Stage) {
        // A trigger that is gone without having been pulled means that all is over.
        drop(self.stage.wait_for(|now| *now >= stage).await);
    }
}

impl Trigger {
    /// Begins the end. For a fifth of `patience` everything goes on, because peers may not have heard yet that this
    /// endpoint fades; then waits until nobody is busy and the last answers are out, for as long as `patience` allows.
    /// Whether all finished in time.
    pub async fn pull(self, patience: Duration) -> bool {
        let now = Instant::now();
        let end = now + patience;
        self.stage.send_replace(Stage::Draining);
        sleep_until(now + patience / 5).await;
        self.busy.close();
        let finished = timeout_at(end, self.busy.wait()).await.is_ok();
        self.stage.send_replace(Stage::Closing);
        self.open.close();
        finished && timeout_at(end, self.open.wait()).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_is_busy_is_waited_for_and_then_the_connections() {
        let (trigger, mut drain) = drain();
        let (busy, open) = (drain.busy(), drain.open());
        let started = Instant::now();
        let end = crate::task::spawn(trigger.pull(Duration::from_secs(25)));
        drain.reached(Stage::Draining).await;
        assert_eq!(drain.stage(), Stage::Draining);
        drop(busy);
        drain.reached(Stage::Closing).await;
        drop(open);
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

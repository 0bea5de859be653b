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
    /// Everything goes on, because peers may not have heard yet that this endpoint fades.
    Fading,
    /// Who is busy finishes.
    Ending,
}

/// Tells how far the end has come, and knows who is still busy. Clones stand for the same end.
#[derive(Clone, Debug)]
pub struct Drain {
    stage: watch::Receiver<Stage>,
    busy: TaskTracker,
}

/// Begins the end.
#[derive(Debug)]
pub struct Trigger {
    stage: watch::Sender<Stage>,
    busy: TaskTracker,
}

/// Whoever holds one is busy.
pub type Busy = TaskTrackerToken;

/// An end that has not begun.
pub fn drain() -> (Trigger, Drain) {
    let (sender, stage) = watch::channel(Stage::Running);
    let busy = TaskTracker::new();
    (Trigger { stage: sender, busy: busy.clone() }, Drain { stage, busy })
}

impl Drain {
    /// Marks the holder as busy.
    pub fn busy(&self) -> Busy {
        self.busy.token()
    }

    /// How far the end has come.
    pub fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// Waits until the end has come further than `stage`; for ever, if there is nothing further.
    pub async fn past(&mut self, stage: Stage) {
        if self.stage.wait_for(|now| *now > stage).await.is_err() {
            // A trigger that is gone has been pulled, and will say no more.
            std::future::pending::<()>().await;
        }
    }
}

impl Trigger {
    /// Begins the end. For a fifth of `patience` everything goes on; then waits until nobody is busy, for as long as
    /// `patience` allows. Whether all finished in time.
    pub async fn pull(self, patience: Duration) -> bool {
        let now = Instant::now();
        self.stage.send_replace(Stage::Fading);
        sleep_until(now + patience / 5).await;
        self.stage.send_replace(Stage::Ending);
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
        drain.past(Stage::Running).await;
        assert_eq!((drain.stage(), started.elapsed()), (Stage::Fading, Duration::ZERO));
        drain.past(Stage::Fading).await;
        assert_eq!((drain.stage(), started.elapsed()), (Stage::Ending, Duration::from_secs(5)));
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

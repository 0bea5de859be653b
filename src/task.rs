//! Background tasks, each with an owner: whoever drops the handle ends the task.

use tokio_util::task::AbortOnDropHandle;

/// Starts `future` on the current runtime. The task lives as long as the handle.
#[must_use = "dropping the handle ends the task"]
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that spawns, so that no task is without an owner"
)]
pub fn spawn<F>(future: F) -> AbortOnDropHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    AbortOnDropHandle::new(tokio::spawn(future))
}

//! Background tasks, each with an owner: dropping the handle ends the task.

use std::future::Future;

use tokio_util::task::AbortOnDropHandle;

/// Starts `future` on the current runtime. It ends when it is done or when the handle is dropped, whichever comes first.
#[must_use = "dropping the handle ends the task"]
pub fn spawn<F>(future: F) -> AbortOnDropHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    #[expect(clippy::disallowed_methods, reason = "the one place where a task gets its owner")]
    AbortOnDropHandle::new(tokio::spawn(future))
}

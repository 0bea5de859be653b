//! What the tests stand on.

use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;

pub(crate) mod agent;
pub(crate) mod client;
pub(crate) mod dialect;
pub(crate) mod dns;
pub(crate) mod http1;
pub(crate) mod json;
pub(crate) mod kubernetes;
pub(crate) mod logs;
pub(crate) mod mesh;
pub(crate) mod peer;
pub(crate) mod process;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for what must come, and says what did not.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing in {PATIENCE:?}"),
    }
}

/// Asks again and again until the answer is there. What is asked must itself wait for something, such as a socket.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    soon(what, async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

//! The webhook's certificate from files that somebody else keeps, such as cert-manager's in a mounted Secret.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::Serving;
use super::certificate::{certified, expiry};
use super::metrics::Metrics;
use crate::task;

/// How often the files are looked at. The kubelet takes a minute to bring them, and renewals have weeks.
const POLL: Duration = Duration::from_secs(10);
/// The same, while there is no certificate at all.
const POLL_MISSING: Duration = Duration::from_secs(1);

/// The certificate in `tls.crt` and `tls.key` of a directory, as it is at the time. The task ends with the handle.
pub fn watch_dir(dir: PathBuf, metrics: Metrics) -> (watch::Receiver<Serving>, AbortOnDropHandle<()>) {
    let states = watch::Sender::new(Err(format!("{} has not been read yet", dir.display())));
    let receiver = states.subscribe();
    let task = task::spawn(async move {
        let mut published = None;
        let mut complaint = None;
        loop {
            let outcome = match read(&dir).await {
                Ok(files) if published.as_ref() == Some(&files) => Ok(()),
                Ok(files) => match certified(&files.0, &files.1) {
                    Ok(key) => {
                        metrics.shows(expiry(&files.0).unwrap_or_default());
                        tracing::info!(dir = %dir.display(), "Webhook certificate loaded");
                        drop(states.send_replace(Ok(key)));
                        published = Some(files);
                        Ok(())
                    }
                    // Perhaps one of the two files is new already and the other is not.
                    Err(error) => Err(format!("{}: {error}", dir.display())),
                },
                Err(reason) => Err(reason),
            };
            let reason = outcome.err();
            if let Some(reason) = reason.as_ref().filter(|reason| complaint.as_ref() != Some(*reason)) {
                complain(&states, reason);
            }
            complaint = reason;
            sleep(if published.is_some() { POLL } else { POLL_MISSING }).await;
        }
    });
    (receiver, task)
}

async fn read(dir: &Path) -> Result<(String, String), String> {
    let file = async |name: &str| {
        let path = dir.join(name);
        tokio::fs::read_to_string(&path).await.map_err(|error| format!("{}: {error}", path.display()))
    };
    Ok((file("tls.crt").await?, file("tls.key").await?))
}

/// Says what is wrong, and keeps what there is.
fn complain(states: &watch::Sender<Serving>, reason: &str) {
    if states.borrow().is_ok() {
        tracing::warn!(reason, "Webhook certificate not reloaded, the old one stays in use");
    } else {
        tracing::warn!(reason, "No webhook certificate yet");
        drop(states.send_replace(Err(reason.to_owned())));
    }
}

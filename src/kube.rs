//! Kubernetes: what the controller watches, writes and answers there. Nothing of it is part of the sidecar.

use std::{io, path::Path};

use http::{Request, Response};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::net::describe;

#[cfg(test)]
#[expect(dead_code, reason = "some of it is for the integration tests alone")]
mod fake;
pub mod inject;
mod limit;
mod mirror;
pub mod services;
pub mod sign;
mod sparing;
pub mod watch;
mod words;

/// A client of the API server that a kubeconfig names; without one, of the cluster that this pod runs in.
///
/// # Errors
/// If there is no such file or no such cluster, or if what they say cannot be used.
pub async fn client(kubeconfig: Option<&Path>) -> Result<Client, ClientError> {
    let config = match kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path)?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?
        }
        None => Config::incluster()?,
    };
    Ok(Client::try_from(config)?)
}

/// A client that has no API server to ask: for who is told everything by others.
pub fn nowhere() -> Client {
    let refuse = |_: Request<Body>| async { Err::<Response<Body>, _>(io::Error::other("no API server")) };
    Client::new(tower::service_fn(refuse), "default")
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The client cannot be made.
    #[error("no client of the API server: {0}")]
    Client(#[from] kube::Error),
    /// This is no pod of a cluster, or one without a service account token.
    #[error("not in a pod with a service account, and kubernetes.config names no file: {0}")]
    InCluster(#[from] kube::config::InClusterError),
    /// The kubeconfig is no good.
    #[error("kubernetes.config: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
}

/// What went wrong, without the whole answer around it.
fn why(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        error => describe(error),
    }
}

/// A text of at most `max` bytes, cut between characters.
fn cut(mut text: String, max: usize) -> String {
    text.truncate(text.floor_char_boundary(max));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut("ü".repeat(600), 1024).len(), 1024);
        assert_eq!(cut(format!("a{}", "ü".repeat(600)), 1024).len(), 1023);
        assert_eq!(cut("short".to_owned(), 1024), "short");
    }
}

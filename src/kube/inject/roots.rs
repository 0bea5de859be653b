//! The roots that sidecars are given to believe the issuer by: those of the own trust domain, as they are published in the
//! cluster.

use std::sync::Arc;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::Configured;
use super::config::InjectConfig;
use crate::task;

/// Where roots are published.
#[derive(Clone, Debug)]
pub struct Published<'a> {
    /// The namespace of the ConfigMap.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The own trust domain.
    pub trust_domain: &'a str,
}

/// `config` with the roots of the moment, once there are any: those that were there last stay. The task ends with the
/// handle.
pub fn watch_roots(
    client: Client,
    published: &Published<'_>,
    config: InjectConfig,
) -> (watch::Receiver<Configured>, AbortOnDropHandle<()>) {
    let Published { namespace, name, trust_domain } = *published;
    let place = format!("ConfigMap {namespace}/{name}");
    let configs = watch::Sender::new(Err(format!("{place} has not been read yet")));
    let receiver = configs.subscribe();
    let (key, name) = (format!("{trust_domain}.trust-bundle.pem"), name.to_owned());
    let api: Api<ConfigMap> = Api::namespaced(client, namespace);
    let task = task::spawn(async move {
        let mut states = watch_object(api, &name).default_backoff().boxed();
        let mut current = None;
        while let Some(state) = states.next().await {
            let roots = match state {
                Ok(map) => roots(map.as_ref(), &place, &key),
                Err(error) => Err(format!("{place}: {error}")),
            };
            match roots {
                Ok(roots) if current.as_ref() == Some(&roots) => {}
                Ok(roots) => {
                    tracing::info!(place, key, "Roots for sidecars loaded");
                    drop(configs.send_replace(Ok(Arc::new(config.with_roots(&roots)))));
                    current = Some(roots);
                }
                Err(reason) if current.is_some() => {
                    tracing::warn!(reason, "Roots not reloaded, the old ones stay")
                }
                Err(reason) => {
                    let news = configs.send_if_modified(|state| match state {
                        Err(old) if *old != reason => {
                            old.clone_from(&reason);
                            true
                        }
                        _ => false,
                    });
                    if news {
                        tracing::warn!(reason, "No roots for sidecars yet");
                    }
                }
            }
        }
    });
    (receiver, task)
}

fn roots(map: Option<&ConfigMap>, place: &str, key: &str) -> Result<String, String> {
    let map = map.ok_or_else(|| format!("{place} is not there"))?;
    let text = map.data.as_ref().and_then(|data| data.get(key));
    let text = text.ok_or_else(|| format!("{place} has no {key}"))?;
    let mut certificates = CertificateDer::pem_slice_iter(text.as_bytes()).peekable();
    if certificates.peek().is_none() || certificates.any(|certificate| certificate.is_err()) {
        return Err(format!("{place}: {key} is no list of certificates in PEM"));
    }
    Ok(text.clone())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn roots_are_pem_at_the_key_of_the_trust_domain() {
        let map = |text: &str| ConfigMap {
            data: Some(BTreeMap::from([("a.trust-bundle.pem".to_owned(), text.to_owned())])),
            ..ConfigMap::default()
        };
        let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(roots(Some(&map(pem)), "x", "a.trust-bundle.pem"), Ok(pem.to_owned()));
        assert_eq!(
            roots(Some(&map(pem)), "x", "b.trust-bundle.pem"),
            Err("x has no b.trust-bundle.pem".to_owned())
        );
        for bad in ["", "nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n"] {
            assert!(roots(Some(&map(bad)), "x", "a.trust-bundle.pem").is_err(), "{bad}");
        }
        assert_eq!(roots(None, "x", "a"), Err("x is not there".to_owned()));
    }
}

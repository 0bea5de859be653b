//! Which DNS names a pod may have in its certificate: those of Services that really lead to it, by their EndpointSlices.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use kube::Client;
use tokio::time::Instant;

use super::{review::Workload, slices::Slices};

/// The most names in one certificate.
const NAMES_MAX: usize = 64;
/// When a pod without a name is asked to come again: a Service may not have got to know it yet. Twice as long each time, and
/// then no more, because most pods without a name only call, and will never have one.
const AGAIN: Duration = Duration::from_secs(30);
const AGAIN_TIMES: u32 = 6;
/// How many pods without a name are kept in mind, and for how long.
const PODS_MAX: usize = 10_000;
const PODS_AGE: Duration = Duration::from_hours(1);

/// What is known about names.
pub(super) struct Names {
    slices: Slices,
    cluster_domain: String,
    /// Names by service account, `name.namespace`, that an operator has given.
    given: BTreeMap<String, Vec<String>>,
    nameless: Mutex<HashMap<String, Nameless>>,
}

/// A pod that no Service leads to yet.
#[derive(Clone, Copy)]
struct Nameless {
    times: u32,
    since: Instant,
}

/// The names of a pod.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Named {
    pub(super) names: Vec<String>,
    /// When there may be more.
    pub(super) again: Option<Duration>,
}

impl Names {
    pub(super) fn new(client: Client, cluster_domain: String, given: BTreeMap<String, Vec<String>>) -> Self {
        Self { slices: Slices::new(client), cluster_domain, given, nameless: Mutex::default() }
    }

    /// The names of a pod. An API server that does not tell costs names, never the certificate.
    pub(super) async fn of(&self, workload: &Workload) -> Named {
        let confirmed = self.slices.agents(&workload.namespace, &workload.uid).await;
        let again = if confirmed.is_empty() { self.again(&workload.uid) } else { self.forget(&workload.uid) };
        let (namespace, zone) = (&workload.namespace, &self.cluster_domain);
        let services = confirmed.into_iter().map(|agent| format!("{agent}.{namespace}.svc.{zone}"));
        let given = self.given.get(&format!("{}.{namespace}", workload.account));
        let mut names: Vec<String> = services.chain(given.into_iter().flatten().cloned()).collect();
        names.truncate(NAMES_MAX);
        Named { names, again }
    }

    /// When a pod without a name is to come again, if it is.
    fn again(&self, uid: &str) -> Option<Duration> {
        let now = Instant::now();
        let mut pods = self.nameless.lock().unwrap_or_else(PoisonError::into_inner);
        if pods.len() >= PODS_MAX {
            pods.retain(|_, pod| now.saturating_duration_since(pod.since) < PODS_AGE);
        }
        if pods.len() >= PODS_MAX && !pods.contains_key(uid) {
            return None;
        }
        let pod = pods.entry(uid.to_owned()).or_insert(Nameless { times: 0, since: now });
        let times = pod.times;
        pod.times = times.saturating_add(1);
        (times < AGAIN_TIMES).then(|| AGAIN * 2_u32.saturating_pow(times))
    }

    fn forget(&self, uid: &str) -> Option<Duration> {
        self.nameless.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pod_without_a_name_comes_again_less_and_less_and_then_no_more() {
        let client = Client::new(
            tower::service_fn(|_| {
                std::future::pending::<Result<http::Response<String>, std::convert::Infallible>>()
            }),
            "default",
        );
        let names = Names::new(client, "cluster.local".to_owned(), BTreeMap::new());
        let pauses: Vec<Option<u64>> =
            (0..8).map(|_| names.again("uid").map(|again| again.as_secs())).collect();
        assert_eq!(pauses, [Some(30), Some(60), Some(120), Some(240), Some(480), Some(960), None, None]);
        assert_eq!(names.forget("uid"), None);
        assert_eq!(names.again("uid"), Some(AGAIN), "it had a name once");
        // Who is one too many is not kept in mind, and so not asked to come again.
        for pod in 0..PODS_MAX {
            names.again(&pod.to_string());
        }
        assert_eq!(names.again("one more"), None);
        tokio::time::advance(PODS_AGE).await;
        assert_eq!(names.again("one more"), Some(AGAIN));
    }
}

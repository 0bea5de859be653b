//! Where agents are, for the directory's own calls: as it was found, without DNS.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use tokio::sync::watch;

use super::Found;
use crate::a2a::Name;
use crate::discovery::{Answer, Bounds, Lookup};

/// How long an answer is taken for true.
pub(super) const TTL: Duration = Duration::from_millis(500);

/// Answers from what was found.
#[derive(Debug)]
pub struct FromFound(pub watch::Receiver<Arc<Found>>);

impl FromFound {
    /// The times and sizes that go with it: asking costs nothing, and an agent
    /// is called once in minutes.
    pub fn bounds() -> Bounds {
        Bounds {
            shortest: TTL,
            longest: TTL,
            negative: TTL,
            recheck: TTL,
            idle: Duration::from_secs(1),
            names: 100_000,
            ..Bounds::default()
        }
    }
}

impl Lookup for FromFound {
    fn lookup<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Answer> {
        let found = self.0.borrow();
        let endpoints = found.agents.get(name).map(Vec::as_slice).unwrap_or_default();
        let addresses: Vec<_> =
            endpoints.iter().filter(|endpoint| endpoint.ready).map(|endpoint| endpoint.address).collect();
        let answer = if addresses.is_empty() {
            Answer::Absent { reason: "no endpoint is ready".to_owned() }
        } else {
            Answer::Found { addresses, ttl: TTL }
        };
        ready(answer).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Endpoint;
    use super::*;
    use crate::a2a::Home;

    #[tokio::test]
    async fn only_who_is_ready_is_there() {
        let home = Home { namespace: "travel".into(), mesh: "east".into() };
        let name = |text| Name::parse(text, &home).unwrap();
        let endpoint = |address: &str, ready| Endpoint { address: address.parse().unwrap(), ready };
        let endpoints = vec![endpoint("10.0.0.1:1", true), endpoint("10.0.0.2:1", false)];
        let agents = [(name("a"), endpoints), (name("b"), vec![endpoint("10.0.0.3:1", false)])].into();
        let lookup = FromFound(watch::channel(Arc::new(Found { agents, addresses: Vec::new() })).1);
        let addresses = vec!["10.0.0.1:1".parse().unwrap()];
        assert_eq!(lookup.lookup(&name("a")).await, Answer::Found { addresses, ttl: TTL });
        for absent in ["b", "c"] {
            assert!(matches!(lookup.lookup(&name(absent)).await, Answer::Absent { .. }));
        }
    }
}

//! The directory of the mesh as one more source: it knows agents that the cluster's own DNS does not, those of other meshes
//! among them.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::time::timeout;

use super::{
    Bounds, Hosts,
    dns::{Mesh, prefer},
    servers::{Miss, Servers},
};
use crate::a2a::Name;

/// The directory's DNS.
#[derive(Clone, Debug)]
pub struct Zone {
    /// Where it answers: hosts, which the cluster knows, and ports. Empty: nowhere.
    pub nameservers: Vec<(String, u16)>,
    /// Its zone, such as `a2a.cluster.local`.
    pub name: String,
}

/// Asks the directory, after the cluster.
#[derive(Debug)]
pub(super) struct Second {
    home: String,
    /// Where it answers, and who knows where that is.
    nameservers: Vec<(String, u16)>,
    hosts: Hosts,
    servers: Arc<Servers>,
    zone: Mesh,
    /// How long the cluster has before the directory is asked too, and then to do better.
    grace: Duration,
    /// How long the directory has.
    patience: Duration,
}

impl Second {
    /// None if the directory has no DNS. `hosts` are those that the cluster knows.
    pub(super) fn new(
        directory: &Zone,
        home: &str,
        port: u16,
        bounds: &Arc<Bounds>,
        hosts: Hosts,
    ) -> Option<Self> {
        let nameservers = directory.nameservers.clone();
        if nameservers.is_empty() {
            return None;
        }
        let servers = Arc::new(Servers::unknown(Arc::clone(bounds)));
        let zone = Mesh::new(&directory.name, port, bounds.hedge, Arc::clone(&servers));
        let (grace, patience) = (bounds.hedge, bounds.directory);
        Some(Self { home: home.to_owned(), nameservers, hosts, servers, zone, grace, patience })
    }

    /// What the `cluster` says, or, if it finds nothing, what the directory says. What the cluster finds in good time is
    /// not delayed by a moment, and the directory does not even hear of it.
    pub(super) async fn after(
        &self,
        cluster: impl Future<Output = Result<(Vec<SocketAddr>, u32), Miss>>,
        name: &Name,
    ) -> Result<(Vec<SocketAddr>, u32), Miss> {
        // Where there is no directory, what the cluster says stands.
        let directory = self.ask(name, Miss::Absent);
        second(cluster, directory, self.grace).await
    }

    /// What the directory says, of names that nobody else is asked about.
    pub(super) async fn find(&self, name: &Name) -> Result<(Vec<SocketAddr>, u32), Miss> {
        self.ask(name, Miss::Failed).await
    }

    /// What the directory says; `nowhere` if it is known that there is none.
    async fn ask(&self, name: &Name, nowhere: fn(String) -> Miss) -> Result<(Vec<SocketAddr>, u32), Miss> {
        let found = timeout(self.patience, async {
            self.locate().await.map_err(|miss| match miss {
                Miss::Absent(why) => nowhere(why),
                other => other,
            })?;
            self.zone.replicas(&self.domain(name)).await
        });
        let found = found.await;
        let late = || Err(Miss::Failed(format!("no answer within {:?}", self.patience)));
        found.unwrap_or_else(|_| late()).map_err(|miss| match miss {
            Miss::Failed(why) => Miss::Failed(format!("the directory: {why}")),
            said => said,
        })
    }

    /// Looks where it is. It is asked rarely, and may have moved since.
    async fn locate(&self) -> Result<(), Miss> {
        let each = self.nameservers.iter().map(|(host, port)| self.hosts.find(host, *port));
        let (mut addresses, mut missed) = (Vec::new(), None::<Miss>);
        for found in join_all(each).await {
            match found {
                Ok(mut found) => {
                    // DNS shuffles them.
                    found.sort_unstable();
                    addresses.append(&mut found);
                }
                Err(miss) => {
                    missed = Some(match missed {
                        Some(other) => other.and(miss),
                        None => miss,
                    });
                }
            }
        }
        match missed {
            Some(miss) if addresses.is_empty() => Err(miss),
            _ => self.servers.replace(&addresses).map_err(|error| Miss::Failed(error.to_string())),
        }
    }

    /// The name in the directory's zone: an agent of another mesh has the mesh's name in it.
    fn domain(&self, name: &Name) -> String {
        let short = format!("{}.{}", name.agent(), name.namespace());
        let name = if name.mesh() == self.home { &short } else { name.as_str() };
        self.zone.below(name)
    }
}

/// What `first` finds. If it finds nothing, or takes longer than `grace`, `then` is asked too. Only if both deny is there
/// nothing: what one of them could not say may be there.
async fn second<T>(
    first: impl Future<Output = Result<T, Miss>>,
    then: impl Future<Output = Result<T, Miss>>,
    grace: Duration,
) -> Result<T, Miss> {
    let mut first = pin!(first);
    match timeout(grace, &mut first).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(miss)) => then.await.map_err(|other| miss.and(other)),
        Err(_) => prefer(first, then, grace).await,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::{Instant, sleep};

    use super::*;

    const GRACE: Duration = Duration::from_millis(250);

    async fn after(millis: u64, answer: Result<u8, Miss>) -> Result<u8, Miss> {
        sleep(Duration::from_millis(millis)).await;
        answer
    }

    fn absent() -> Result<u8, Miss> {
        Err(Miss::Absent("NXDOMAIN".into()))
    }

    fn failed() -> Result<u8, Miss> {
        Err(Miss::Failed("SERVFAIL".into()))
    }

    #[tokio::test(start_paused = true)]
    async fn the_directory_is_asked_when_the_cluster_finds_nothing_in_good_time() {
        for (cluster, directory, expected, millis, asked) in [
            ((5, Ok(1)), (0, Ok(2)), Ok(1), 5, false),
            ((249, Ok(1)), (0, Ok(2)), Ok(1), 249, false),
            ((5, absent()), (3, Ok(2)), Ok(2), 8, true),
            ((5, failed()), (3, Ok(2)), Ok(2), 8, true),
            ((5, absent()), (3, absent()), absent(), 8, true),
            ((5, absent()), (3, failed()), failed(), 8, true),
            ((5, failed()), (3, absent()), failed(), 8, true),
            // A cluster that is slow may still win, but not for long.
            ((400, Ok(1)), (3, Ok(2)), Ok(1), 400, true),
            ((9_000, Ok(1)), (3, Ok(2)), Ok(2), 503, true),
            ((9_000, failed()), (3, Ok(2)), Ok(2), 503, true),
            ((400, Ok(1)), (9_000, Ok(2)), Ok(1), 400, true),
            ((400, Ok(1)), (3, failed()), Ok(1), 400, true),
        ] {
            let (began, heard) = (Instant::now(), Cell::new(false));
            let directory = async {
                heard.set(true);
                after(directory.0, directory.1).await
            };
            let answer = second(after(cluster.0, cluster.1), directory, GRACE).await;
            assert_eq!((answer, began.elapsed().as_millis(), heard.get()), (expected, millis, asked));
        }
    }

    #[tokio::test]
    async fn agents_of_other_meshes_have_longer_names() {
        let nameservers = vec![("127.0.0.1".to_owned(), 53)];
        let directory = Zone { nameservers, name: ".a2a.cluster.local.".into() };
        let hosts = || Hosts::over(Arc::new(Servers::unknown(Arc::default())), GRACE);
        let second = Second::new(&directory, "east", 2643, &Arc::default(), hosts()).unwrap();
        let home = crate::a2a::Home { namespace: "travel".into(), mesh: "east".into() };
        let domain = |text| second.domain(&Name::parse(text, &home).unwrap());
        assert_eq!(domain("currency"), "currency.travel.a2a.cluster.local.");
        assert_eq!(domain("ledger.bank.west"), "ledger.bank.west.a2a.cluster.local.");
        let nowhere = Zone { nameservers: Vec::new(), ..directory };
        assert!(Second::new(&nowhere, "east", 2643, &Arc::default(), hosts()).is_none());
    }
}

//! The lookup of one agent in the DNS of its mesh: which questions are asked, and how the answers are read.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use futures_util::{
    FutureExt, StreamExt,
    future::{self, BoxFuture},
    stream,
};
use hickory_resolver::proto::rr::{Name as Domain, RData, Record, RecordType, rdata::SRV};
use tokio::time::timeout;

use super::{
    Config, Hosts, Lookup, Remote, Source,
    second::Second,
    servers::{Miss, Servers},
    set::Answer,
};
use crate::a2a::Name;

/// How many targets of one SRV answer are looked up at once when DNS gave no addresses along.
const PARALLEL: usize = 16;
/// The most addresses that are kept for one agent: as many as the largest headless service of GKE may have.
const MOST_ADDRESSES: usize = 1000;
/// The most aliases that are followed from one name.
const MOST_ALIASES: usize = 8;

/// Looks agents up in DNS: each mesh in its own zone, on its own nameservers, and then in the directory.
#[derive(Debug)]
pub struct Dns {
    meshes: HashMap<String, Mesh>,
    directory: Option<Second>,
}

/// A zone, and who is asked about it.
#[derive(Debug)]
pub(super) struct Mesh {
    pub(super) zone: String,
    pub(super) port: u16,
    /// How long a better answer is waited for once a good one is there.
    pub(super) grace: Duration,
    pub(super) servers: Arc<Servers>,
}

/// What an SRV record offers, if it offers anything.
#[derive(Debug)]
struct Service {
    /// Where to go. Empty if DNS says "decidedly not here" (the target ".").
    targets: Vec<(Domain, u16)>,
    /// The targets' addresses that came along.
    glue: HashMap<Domain, Vec<IpAddr>>,
    ttl: u32,
}

/// The records of one kind under one name, aliases followed.
struct Records {
    data: Vec<RData>,
    additionals: Vec<Record>,
    ttl: u32,
}

impl Dns {
    /// Reads no more than `config`'s list of nameservers, or the file that names them. A mesh without nameservers of its
    /// own is asked for on the home mesh's.
    pub fn new(config: &Config) -> Self {
        let bounds = Arc::new(config.bounds.clone());
        let servers = |source: Source| Arc::new(Servers::new(source, Arc::clone(&bounds)));
        let home = servers(config.nameservers.clone());
        let mesh = |zone: &str, servers| Mesh::new(zone, config.port, bounds.hedge, servers);
        let directory = config.directory.as_ref().and_then(|directory| {
            let hosts = Hosts::over(Arc::clone(&home), bounds.hedge);
            Second::new(directory, &config.home.mesh, config.port, &bounds, hosts)
        });
        // Our own nameservers say of our own zone where our agents are: nothing that is true of another mesh.
        let hopeless = |remote: &Remote| {
            remote.nameservers.is_empty()
                && remote.cluster_domain.trim_matches('.') == config.cluster_domain.trim_matches('.')
        };
        let mut meshes: HashMap<_, _> = config
            .meshes
            .iter()
            .filter(|(_, remote)| directory.is_none() || !hopeless(remote))
            .map(|(name, remote)| {
                let servers = match &remote.nameservers[..] {
                    [] => Arc::clone(&home),
                    listed => servers(Source::Listed(listed.to_vec())),
                };
                (name.clone(), mesh(&remote.cluster_domain, servers))
            })
            .collect();
        meshes.insert(config.home.mesh.clone(), mesh(&config.cluster_domain, home));
        Self { meshes, directory }
    }
}

impl Lookup for Dns {
    fn lookup<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Answer> {
        async move {
            let found = match (self.meshes.get(name.mesh()), &self.directory) {
                (Some(mesh), None) => mesh.find(name).await,
                (Some(mesh), Some(directory)) => directory.after(mesh.find(name), name).await,
                (None, Some(directory)) => directory.find(name).await,
                (None, None) => Err(Miss::Failed(format!("no mesh {:?} is configured", name.mesh()))),
            };
            match found {
                Ok((addresses, ttl)) => Answer::Found { addresses, ttl: Duration::from_secs(ttl.into()) },
                Err(Miss::Absent(reason)) => Answer::Absent { reason },
                Err(Miss::Failed(reason) | Miss::TooMany(reason)) => Answer::Failed { reason },
            }
        }
        .boxed()
    }
}

impl Mesh {
    /// `zone` on `servers`. Agents without a port have `port`; a better answer is waited for as long as `grace`.
    pub(super) fn new(zone: &str, port: u16, grace: Duration, servers: Arc<Servers>) -> Self {
        Self { zone: zone.trim_matches('.').to_owned(), port, grace, servers }
    }

    /// The whole of a name in the zone.
    pub(super) fn below(&self, name: &str) -> String {
        format!("{name}.{}.", self.zone)
    }

    /// The replicas behind the SRV record of a service, by its whole name.
    pub(super) async fn replicas(&self, service: &str) -> Result<(Vec<SocketAddr>, u32), Miss> {
        self.addresses(self.service(service).await?).await
    }

    /// Both SRV names are asked for together; the agent's own mesh service wins over the service of its name. If neither
    /// exists, the plain addresses of the service of its name are taken, on the mesh's port. So are those of the mesh
    /// service if it has more replicas than an SRV answer holds (64 KiB, some hundreds of pods): an address takes less.
    async fn find(&self, name: &Name) -> Result<(Vec<SocketAddr>, u32), Miss> {
        let plain = self.below(&format!("{}.{}.svc", name.agent(), name.namespace()));
        let own = self.below(&format!("{}-a2a.{}.svc", name.agent(), name.namespace()));
        match prefer(self.service(&own), self.service(&plain), self.grace).await {
            Ok(service) => self.addresses(service).await,
            Err(Miss::Absent(_)) => self.plain_addresses(&plain).await,
            Err(Miss::TooMany(_)) => {
                prefer(self.plain_addresses(&own), self.plain_addresses(&plain), self.grace).await
            }
            Err(failed) => Err(failed),
        }
    }

    /// The addresses of a service, on the mesh's port.
    pub(super) async fn plain_addresses(&self, service: &str) -> Result<(Vec<SocketAddr>, u32), Miss> {
        let (hosts, ttl) = self.hosts(&domain(service)?).await?;
        Ok((hosts.into_iter().map(|host| SocketAddr::new(host, self.port)).collect(), ttl))
    }

    async fn service(&self, name: &str) -> Result<Service, Miss> {
        let records = self.records(&domain(&format!("_a2a._tcp.{name}"))?, RecordType::SRV).await?;
        let offers = || {
            records.data.iter().filter_map(|data| match data {
                RData::SRV(srv) => Some(srv),
                _ => None,
            })
        };
        let mut glue: HashMap<Domain, Vec<IpAddr>> = HashMap::new();
        let mut ttl = records.ttl;
        for record in &records.additionals {
            if let Some(address) = record.data.ip_addr()
                && offers().any(|srv| srv.target == record.name)
            {
                glue.entry(record.name.clone()).or_default().push(address);
                ttl = ttl.min(record.ttl);
            }
        }
        Ok(Service { targets: best(offers()), glue, ttl })
    }

    /// The addresses of a service's targets: those that came along, and for the other targets those that DNS names.
    async fn addresses(&self, service: Service) -> Result<(Vec<SocketAddr>, u32), Miss> {
        let Service { targets, mut glue, mut ttl } = service;
        if targets.is_empty() {
            return Err(Miss::Absent("SRV: the service says that it is not available".into()));
        }
        let mut found = Vec::new();
        let mut missing = Vec::new();
        for (target, port) in targets {
            match glue.get(&target) {
                Some(hosts) => found.extend(hosts.iter().map(|host| SocketAddr::new(*host, port))),
                None => missing.push((target, port)),
            }
        }
        glue.clear();
        missing.truncate(MOST_ADDRESSES.saturating_sub(found.len()));
        let mut asked = stream::iter(missing)
            .map(|(target, port)| async move { (port, self.hosts(&target).await) })
            .buffer_unordered(PARALLEL);
        let mut trouble: Option<Miss> = None;
        while let Some((port, answer)) = asked.next().await {
            match answer {
                Ok((hosts, of_hosts)) => {
                    ttl = ttl.min(of_hosts);
                    found.extend(hosts.into_iter().map(|host| SocketAddr::new(host, port)));
                }
                Err(miss) => {
                    trouble = Some(trouble.map_or_else(|| miss.clone(), |other| other.and(miss.clone())))
                }
            }
        }
        found.truncate(MOST_ADDRESSES);
        match trouble {
            Some(miss) if found.is_empty() => Err(miss),
            _ => Ok((found, ttl)),
        }
    }

    /// The addresses of one host, of both families.
    pub(super) async fn hosts(&self, host: &Domain) -> Result<(Vec<IpAddr>, u32), Miss> {
        let v4 = pin!(self.records(host, RecordType::A));
        let v6 = pin!(self.records(host, RecordType::AAAA));
        let (first, rest) = future::select(v4, v6).await.into_inner();
        let second = match &first {
            Ok(_) => timeout(self.grace, rest).await.unwrap_or_else(|_| Err(Miss::Failed("too late".into()))),
            Err(_) => rest.await,
        };
        let (answers, ttl) = match (first, second) {
            (Ok(one), Ok(two)) => ([one.data, two.data].concat(), one.ttl.min(two.ttl)),
            (Ok(one), Err(_)) | (Err(_), Ok(one)) => (one.data, one.ttl),
            (Err(one), Err(two)) => return Err(one.and(two)),
        };
        Ok((answers.iter().filter_map(RData::ip_addr).take(MOST_ADDRESSES).collect(), ttl))
    }

    /// The records of one kind, wherever the aliases under `name` lead.
    async fn records(&self, name: &Domain, kind: RecordType) -> Result<Records, Miss> {
        let mut name = name.clone();
        let mut ttl = u32::MAX;
        for _ in 0..=MOST_ALIASES {
            let message = self.servers.ask(&name, kind).await?.into_message();
            let aliases = message.answers.len();
            let asked = name.clone();
            for _ in 0..aliases {
                let Some((target, alias_ttl)) = alias(&message.answers, &name) else { break };
                ttl = ttl.min(alias_ttl);
                name = target;
            }
            let of_kind = |record: &&Record| record.name == name && record.record_type() == kind;
            let data: Vec<_> =
                message.answers.iter().filter(of_kind).map(|record| record.data.clone()).collect();
            if !data.is_empty() {
                let ttl = message.answers.iter().filter(of_kind).map(|record| record.ttl).fold(ttl, u32::min);
                return Ok(Records { data, additionals: message.additionals, ttl });
            }
            if name == asked {
                return Err(Miss::Absent(format!("{kind} {name}: no such records")));
            }
        }
        Err(Miss::Failed(format!("{kind} {name}: more than {MOST_ALIASES} aliases")))
    }
}

/// The target of the alias that `name` is, if it is one.
fn alias(answers: &[Record], name: &Domain) -> Option<(Domain, u32)> {
    answers.iter().find_map(|record| match &record.data {
        RData::CNAME(target) if record.name == *name => Some((target.0.clone(), record.ttl)),
        _ => None,
    })
}

/// The targets of the best (lowest) priority. Weights are left out of account: Kubernetes gives every endpoint the same,
/// and the balancer goes by load.
fn best<'a>(offers: impl Iterator<Item = &'a SRV> + Clone) -> Vec<(Domain, u16)> {
    let usable = offers.filter(|srv| !srv.target.is_root() && srv.port != 0);
    let priority = usable.clone().map(|srv| srv.priority).min();
    usable.filter(|srv| Some(srv.priority) == priority).map(|srv| (srv.target.clone(), srv.port)).collect()
}

/// Waits for both. `first` wins if it finds something; once `second` has found something, `first` gets no more than
/// `grace` to do better.
pub(super) async fn prefer<T>(
    first: impl Future<Output = Result<T, Miss>>,
    second: impl Future<Output = Result<T, Miss>>,
    grace: Duration,
) -> Result<T, Miss> {
    let (first, second) = (pin!(first), pin!(second));
    match future::select(first, second).await {
        future::Either::Left((Ok(found), _)) => Ok(found),
        future::Either::Left((Err(miss), second)) => second.await.map_err(|other| miss.and(other)),
        future::Either::Right((Err(miss), first)) => first.await.map_err(|other| miss.and(other)),
        future::Either::Right((Ok(found), first)) => match timeout(grace, first).await {
            Ok(Ok(better)) => Ok(better),
            _ => Ok(found),
        },
    }
}

/// Reads an absolute name. What DNS cannot even spell is not in it: `-a2a` behind an agent's name can make the label too
/// long.
pub(super) fn domain(text: &str) -> Result<Domain, Miss> {
    Domain::from_ascii(text).map_err(|error| Miss::Absent(format!("{text}: {error}")))
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    const GRACE: Duration = Duration::from_millis(250);

    fn srv(priority: u16, port: u16, target: &str) -> SRV {
        SRV::new(priority, 0, port, Domain::from_ascii(target).unwrap())
    }

    fn ports(offers: &[SRV]) -> Vec<u16> {
        best(offers.iter()).into_iter().map(|(_, port)| port).collect()
    }

    #[test]
    fn only_the_lowest_priority_number_counts() {
        assert_eq!(ports(&[srv(10, 1, "a."), srv(0, 2, "b."), srv(0, 3, "c."), srv(5, 4, "d.")]), [2, 3]);
    }

    #[test]
    fn a_root_target_and_port_zero_offer_nothing() {
        assert_eq!(ports(&[srv(0, 1, "."), srv(7, 2, "a."), srv(0, 0, "b.")]), [2]);
        assert!(ports(&[srv(0, 0, ".")]).is_empty());
    }

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
    async fn the_first_name_is_preferred_but_not_awaited_for_long() {
        for (first, second, expected, millis) in [
            ((5, Ok(1)), (1, Ok(2)), Ok(1), 5),
            ((1, Ok(1)), (9_000, Ok(2)), Ok(1), 1),
            ((9_000, Ok(1)), (1, Ok(2)), Ok(2), 251),
            ((5, absent()), (1, Ok(2)), Ok(2), 5),
            ((1, absent()), (5, Ok(2)), Ok(2), 5),
            ((1, failed()), (5, Ok(2)), Ok(2), 5),
            ((1, absent()), (5, absent()), absent(), 5),
            ((5, absent()), (1, failed()), failed(), 5),
            ((1, failed()), (5, absent()), failed(), 5),
        ] {
            let began = Instant::now();
            let answer = prefer(after(first.0, first.1), after(second.0, second.1), GRACE).await;
            assert_eq!((answer, began.elapsed().as_millis()), (expected, millis));
        }
    }

    #[test]
    fn aliases_are_found_whatever_the_case() {
        let record = Record::from_rdata(
            Domain::from_ascii("A.example.").unwrap(),
            9,
            RData::CNAME(hickory_resolver::proto::rr::rdata::CNAME(
                Domain::from_ascii("b.example.").unwrap(),
            )),
        );
        let target = alias(std::slice::from_ref(&record), &Domain::from_ascii("a.EXAMPLE.").unwrap());
        assert_eq!(target, Some((Domain::from_ascii("b.example.").unwrap(), 9)));
        assert_eq!(alias(&[record], &Domain::from_ascii("b.example.").unwrap()), None);
    }

    #[test]
    fn a_label_that_is_too_long_is_nowhere() {
        assert!(matches!(domain(&format!("{}-a2a.example.", "a".repeat(60))), Err(Miss::Absent(_))));
    }
}

//! A group of nameservers that know the same names: one question, put to one after the other until one can answer.

use std::{
    fmt,
    future::Future,
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use futures_util::{StreamExt, stream::FuturesUnordered};
use hickory_resolver::{
    NameServerPool, PoolContext, TlsConfig,
    config::{ConnectionConfig, NameServerConfig, ProtocolConfig, ResolverOpts},
    net::{DnsError, NetError, NoRecords, runtime::TokioRuntimeProvider, xfer::DnsHandle},
    proto::{
        op::{DnsRequestOptions, DnsResponse, Query, ResponseCode},
        rr::{Name, RecordType},
    },
    system_conf,
};
use tokio::time::{Instant, sleep};

use super::Bounds;

/// What we say that we take over UDP: what the DNS flag day of 2020 found to pass every network unfragmented.
const UDP_PAYLOAD: u16 = 1232;

/// Where the addresses of the nameservers come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// From a file in the format of `/etc/resolv.conf`. Its search list and its options are ignored: only absolute
    /// names are asked, and the options that it could set are decided here. The file is read again when no server has
    /// answered for a while.
    File {
        /// The file.
        path: PathBuf,
        /// The port that the servers listen on, which the file cannot say.
        port: u16,
    },
    /// From the config.
    Listed(Vec<SocketAddr>),
}

/// Why a question brought no records.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Miss {
    /// There are none.
    Absent(String),
    /// Nobody could say.
    Failed(String),
}

impl Miss {
    /// What two misses say together: only if both say that there is nothing, there is nothing.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Absent(one), Self::Absent(_)) => Self::Absent(one),
            (Self::Failed(one), _) | (_, Self::Failed(one)) => Self::Failed(one),
        }
    }
}

/// A group of nameservers, in the order in which they are asked.
pub(super) struct Servers {
    source: Source,
    list: ArcSwap<Vec<Upstream>>,
    /// Since when no server has answered anything.
    failing: Mutex<Option<Instant>>,
    bounds: Arc<Bounds>,
}

#[derive(Clone)]
struct Upstream {
    address: SocketAddr,
    /// One server, over UDP and, for long answers, over TCP. It has no cache and no search list.
    pool: NameServerPool<TokioRuntimeProvider>,
}

impl Servers {
    pub(super) fn new(source: Source, bounds: Arc<Bounds>) -> Self {
        let list =
            source.read().and_then(|addresses| upstreams(&addresses, &bounds)).unwrap_or_else(|error| {
                tracing::warn!(source = %source, %error, "No nameservers");
                Vec::new()
            });
        Self { source, list: ArcSwap::from_pointee(list), failing: Mutex::new(None), bounds }
    }

    /// Asks the first server, the next one each time [`Bounds::hedge`] has passed without an answer or a server has
    /// answered that it cannot help, and takes the first answer that says something about the name.
    pub(super) async fn ask(&self, name: &Name, kind: RecordType) -> Result<DnsResponse, Miss> {
        let answers = self.list.load().iter().map(|server| server.clone().ask(name.clone(), kind)).collect();
        let answer = hedged(answers, self.bounds.hedge).await;
        let answer =
            answer.unwrap_or_else(|| Err(Miss::Failed(format!("{} names no nameserver", self.source))));
        self.note(matches!(answer, Err(Miss::Failed(_)))).await;
        answer.map_err(|miss| match miss {
            Miss::Absent(why) => Miss::Absent(format!("{kind} {name}: {why}")),
            Miss::Failed(why) => Miss::Failed(format!("{kind} {name}: {why}")),
        })
    }

    /// Keeps in mind how long nothing has been answered, and reads the source again when that is too long.
    async fn note(&self, failed: bool) {
        let now = Instant::now();
        {
            let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
            if !failed {
                *failing = None;
                return;
            }
            let since = *failing.get_or_insert(now);
            if now.saturating_duration_since(since) < self.bounds.reload {
                return;
            }
            *failing = Some(now);
        }
        let source = self.source.clone();
        let read =
            tokio::task::spawn_blocking(move || source.read()).await.map_err(io::Error::other).flatten();
        if let Err(error) = read.and_then(|addresses| self.replace(&addresses)) {
            tracing::warn!(source = %self.source, %error, "No nameservers");
        }
    }

    fn replace(&self, addresses: &[SocketAddr]) -> io::Result<()> {
        if !self.list.load().iter().map(|upstream| &upstream.address).eq(addresses) {
            self.list.store(Arc::new(upstreams(addresses, &self.bounds)?));
            tracing::info!(source = %self.source, ?addresses, "Nameservers changed");
        }
        Ok(())
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Servers").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Source {
    fn read(&self) -> io::Result<Vec<SocketAddr>> {
        match self {
            Self::File { path, port } => {
                let text = std::fs::read(path)?;
                let (config, _) = system_conf::parse_resolv_conf(text).map_err(io::Error::other)?;
                Ok(config.name_servers().iter().map(|server| SocketAddr::new(server.ip, *port)).collect())
            }
            Self::Listed(addresses) => Ok(addresses.clone()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => path.display().fmt(f),
            Self::Listed(addresses) => write!(f, "{addresses:?}"),
        }
    }
}

impl Upstream {
    async fn ask(self, name: Name, kind: RecordType) -> Result<DnsResponse, Miss> {
        let mut options = DnsRequestOptions::default();
        options.use_edns = true;
        options.edns_payload_len = UDP_PAYLOAD;
        options.recursion_desired = true;
        let answer = match self.pool.lookup(Query::query(name, kind), options).next().await {
            Some(Ok(response)) => judge(response),
            Some(Err(error)) => Err(reason(error)),
            None => Err(Miss::Failed("no answer".into())),
        };
        answer.map_err(|miss| match miss {
            Miss::Failed(why) => Miss::Failed(format!("{}: {why}", self.address)),
            absent => absent,
        })
    }
}

/// Answers with records may still be errors of a kind: an alias whose target does not exist.
fn judge(response: DnsResponse) -> Result<DnsResponse, Miss> {
    match response.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => Ok(response),
        code => Err(Miss::Failed(code.to_string())),
    }
}

fn reason(error: NetError) -> Miss {
    match error {
        // A server that only points at others, without a word about the name, is not asked in vain by us alone.
        NetError::Dns(DnsError::NoRecordsFound(NoRecords { ns: Some(_), soa: None, .. })) => {
            Miss::Failed("a referral to other servers".into())
        }
        NetError::Dns(DnsError::NoRecordsFound(NoRecords { response_code, .. })) => match response_code {
            ResponseCode::NXDomain => Miss::Absent("NXDOMAIN".into()),
            ResponseCode::NoError => Miss::Absent("no such records".into()),
            code => Miss::Failed(code.to_string()),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => Miss::Failed(code.to_string()),
        other => Miss::Failed(other.to_string()),
    }
}

/// Starts the first of the `answers`, and another each time `pause` has passed or one has failed. The first that does not
/// fail wins; if all fail, all reasons are told. None if there is nothing to start.
async fn hedged<T, F>(answers: Vec<F>, pause: Duration) -> Option<Result<T, Miss>>
where
    F: Future<Output = Result<T, Miss>>,
{
    let mut waiting = answers.into_iter();
    let mut running = FuturesUnordered::new();
    running.push(waiting.next()?);
    let mut reasons = Vec::new();
    loop {
        let next = tokio::select! {
            ended = running.next() => match ended {
                Some(Err(Miss::Failed(reason))) => {
                    reasons.push(reason);
                    waiting.next()
                }
                Some(answer) => return Some(answer),
                None => return Some(Err(Miss::Failed(reasons.join("; ")))),
            },
            () = sleep(pause), if waiting.len() > 0 => waiting.next(),
        };
        running.extend(next);
    }
}

fn upstreams(addresses: &[SocketAddr], bounds: &Bounds) -> io::Result<Vec<Upstream>> {
    let mut options = ResolverOpts::default();
    options.timeout = bounds.query;
    options.edns0 = true;
    options.edns_payload_len = UDP_PAYLOAD;
    addresses
        .iter()
        .map(|&address| {
            let connections = [ProtocolConfig::Udp, ProtocolConfig::Tcp].map(|protocol| {
                let mut connection = ConnectionConfig::new(protocol);
                connection.port = address.port();
                connection
            });
            let server = NameServerConfig::new(address.ip(), true, connections.into());
            let tls = TlsConfig::new().map_err(io::Error::other)?;
            let context = Arc::new(PoolContext::new(options.clone(), tls));
            let pool = NameServerPool::from_config([server], context, TokioRuntimeProvider::new());
            Ok(Upstream { address, pool })
        })
        .collect()
}

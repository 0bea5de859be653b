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
    /// There are so many that no answer holds them.
    TooMany(String),
}

impl Miss {
    /// What two misses say together: there are records if one says so, and there are none only if both say so.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Absent(one), Self::Absent(_)) => Self::Absent(one),
            (Self::TooMany(one), _) | (_, Self::TooMany(one)) => Self::TooMany(one),
            (Self::Failed(one), _) | (_, Self::Failed(one)) => Self::Failed(one),
        }
    }
}

/// A group of nameservers, in the order in which they are asked.
pub(super) struct Servers {
    /// Where they come from; `None` if whoever asks says it each time.
    source: Option<Source>,
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
        Self { source: Some(source), list: ArcSwap::from_pointee(list), failing: Mutex::new(None), bounds }
    }

    /// None, before [`Servers::replace`] says which.
    pub(super) fn unknown(bounds: Arc<Bounds>) -> Self {
        Self { source: None, list: ArcSwap::default(), failing: Mutex::new(None), bounds }
    }

    /// Asks the first server, the next one each time [`Bounds::hedge`] has passed without an answer or a server has
    /// answered that it cannot help, and takes the first answer that says something about the name.
    pub(super) async fn ask(&self, name: &Name, kind: RecordType) -> Result<DnsResponse, Miss> {
        let answers = self.list.load().iter().map(|server| server.clone().ask(name.clone(), kind)).collect();
        let answer = hedged(answers, self.bounds.hedge).await;
        let answer = answer.unwrap_or_else(|| {
            let nobody = self.source.as_ref().map(|source| format!("{source} names no nameserver"));
            Err(Miss::Failed(nobody.unwrap_or_else(|| "no nameserver is known".to_owned())))
        });
        self.note(matches!(answer, Err(Miss::Failed(_)))).await;
        answer.map_err(|miss| match miss {
            Miss::Absent(why) => Miss::Absent(format!("{kind} {name}: {why}")),
            Miss::Failed(why) => Miss::Failed(format!("{kind} {name}: {why}")),
            Miss::TooMany(why) => Miss::TooMany(format!("{kind} {name}: {why}")),
        })
    }

    /// Keeps in mind how long nothing has been answered, and reads the source again when that is too long.
    async fn note(&self, failed: bool) {
        let Some(source) = &self.source else { return };
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
        let again = source.clone();
        let read =
            tokio::task::spawn_blocking(move || again.read()).await.map_err(io::Error::other).flatten();
        if let Err(error) = read.and_then(|addresses| self.replace(&addresses)) {
            tracing::warn!(%source, %error, "No nameservers");
        }
    }

    /// Asks these from now on.
    pub(super) fn replace(&self, addresses: &[SocketAddr]) -> io::Result<()> {
        if !self.list.load().iter().map(|upstream| &upstream.address).eq(addresses) {
            self.list.store(Arc::new(upstreams(addresses, &self.bounds)?));
            let source = self.source.as_ref().map(tracing::field::display);
            tracing::info!(source, ?addresses, "Nameservers changed");
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
            said => said,
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
        // An answer over TCP that was cut is not shown to us.
        NetError::Truncated => Miss::TooMany("more records than an answer holds".into()),
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const PAUSE: Duration = Duration::from_millis(250);

    /// A server that answers after a time, and how many of them have been started.
    async fn server(started: &AtomicUsize, after: u64, answer: Result<u8, Miss>) -> Result<u8, Miss> {
        started.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_millis(after)).await;
        answer
    }

    fn failed(why: &str) -> Result<u8, Miss> {
        Err(Miss::Failed(why.into()))
    }

    fn absent() -> Result<u8, Miss> {
        Err(Miss::Absent("NXDOMAIN".into()))
    }

    /// What the servers say together, when, and how many of them were asked.
    async fn ask(
        servers: impl IntoIterator<Item = (u64, Result<u8, Miss>)>,
    ) -> (Option<Result<u8, Miss>>, u128, usize) {
        let (began, started) = (Instant::now(), AtomicUsize::new(0));
        let servers = servers.into_iter().map(|(after, answer)| server(&started, after, answer)).collect();
        let answer = hedged(servers, PAUSE).await;
        (answer, began.elapsed().as_millis(), started.load(Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn a_prompt_first_server_is_the_only_one_asked() {
        assert_eq!(ask([(249, Ok(1)), (0, Ok(2))]).await, (Some(Ok(1)), 249, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_is_overtaken_by_the_next() {
        assert_eq!(ask([(9_000, Ok(1)), (10, Ok(2)), (0, Ok(3))]).await, (Some(Ok(2)), 260, 2));
        assert_eq!(ask([(9_000, Ok(1)), (9_000, Ok(2)), (0, Ok(3))]).await, (Some(Ok(3)), 500, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_first_server_may_still_win() {
        assert_eq!(ask([(300, Ok(1)), (9_000, Ok(2))]).await, (Some(Ok(1)), 300, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_cannot_help_hands_on_at_once() {
        assert_eq!(ask([(5, failed("SERVFAIL")), (5, Ok(2))]).await, (Some(Ok(2)), 10, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_denial_is_final() {
        assert_eq!(ask([(5, absent()), (0, Ok(2))]).await, (Some(absent()), 5, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_fail_every_reason_is_told() {
        let (answer, ..) = ask([(1, failed("one: SERVFAIL")), (1, failed("two: REFUSED"))]).await;
        assert_eq!(answer, Some(failed("one: SERVFAIL; two: REFUSED")));
        assert_eq!(ask([]).await.0, None);
    }

    #[tokio::test]
    async fn a_group_without_servers_says_where_they_should_have_been() {
        let path = PathBuf::from("/nowhere/resolv.conf");
        let servers = Servers::new(Source::File { path, port: 53 }, Arc::default());
        let miss = servers.ask(&Name::root(), RecordType::A).await.unwrap_err();
        assert_eq!(miss, Miss::Failed("A .: /nowhere/resolv.conf names no nameserver".into()));
    }

    #[test]
    fn only_two_denials_together_deny() {
        let (absent, failed) = (Miss::Absent("NXDOMAIN".into()), Miss::Failed("SERVFAIL".into()));
        assert_eq!(absent.clone().and(absent.clone()), absent);
        assert_eq!(absent.clone().and(failed.clone()), failed);
        assert_eq!(failed.clone().and(absent), failed);
    }

    #[test]
    fn records_that_no_answer_holds_are_there_whatever_else_is_said() {
        let many = Miss::TooMany("1000".into());
        for other in [Miss::Absent("NXDOMAIN".into()), Miss::Failed("SERVFAIL".into())] {
            assert_eq!(other.clone().and(many.clone()), many);
            assert_eq!(many.clone().and(other), many);
        }
    }

    #[test]
    fn of_a_resolv_conf_only_the_servers_count() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "search travel.svc.cluster.local\nnameserver 10.96.0.10\nnameserver fd00::a\noptions ndots:5 weird\n";
        std::fs::write(&file, text).unwrap();
        let source = Source::File { path: file.path().to_owned(), port: 53 };
        assert_eq!(
            source.read().unwrap(),
            ["10.96.0.10:53".parse().unwrap(), "[fd00::a]:53".parse().unwrap()]
        );
    }
}

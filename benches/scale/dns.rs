//! The DNS server of the bench, which answers as CoreDNS does for headless Services: SRV records with the pods' addresses
//! beside them, over UDP where that fits and over TCP where it does not. It counts the questions.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_server::Server;
use hickory_server::net::{runtime::Time, xfer::Protocol};
use hickory_server::proto::op::{Edns, Header, HeaderCounts, Metadata, ResponseCode};
use hickory_server::proto::rr::rdata::{SOA, SRV};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::{TcpListener, UdpSocket};

/// The zone that the agents are in, behind their names.
const ZONE: &str = "lab.svc.cluster.local.";
/// For how long an answer holds, in seconds. Short, so that there is something to measure.
const TTL: u32 = 5;
/// The size of an answer over UDP to those who do not say how much they take (RFC 1035 §4.2.1).
const SMALL: u16 = 512;
/// What head, question and OPT record take of an answer at most.
const AROUND: usize = 150;
/// What a record takes beside the names in it: an SRV record's name is that of the question and takes two bytes.
const SRV_SIZE: usize = 18;
const ADDRESS_SIZE: usize = 14;
const TRIES: usize = 16;
const TCP_TIMEOUT: Duration = Duration::from_secs(5);
const TCP_ANSWERS: usize = 16;

/// The server. It ends when it is dropped.
pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    zone: Zone,
    _server: Server<Zone>,
}

/// How many questions there were.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Questions {
    /// The first questions of a lookup.
    pub(crate) lookups: usize,
    pub(crate) udp: usize,
    pub(crate) tcp: usize,
}

#[derive(Clone, Default)]
struct Zone(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    agents: HashMap<String, Agent>,
    /// By what stands before the last dash of the agent's name.
    questions: HashMap<String, Questions>,
}

/// The records of an agent.
#[derive(Clone)]
struct Agent {
    services: Arc<[Record]>,
    /// Each pod's address, under its own name.
    pods: Arc<[Record]>,
    /// The same, under the name of the service.
    addresses: Arc<[Record]>,
}

impl Dns {
    /// A server that knows nobody.
    pub(crate) async fn start() -> io::Result<Self> {
        let (udp, tcp) = sockets().await?;
        let address = udp.local_addr()?;
        let zone = Zone::default();
        let mut server = Server::new(zone.clone());
        server.register_socket(udp);
        server.register_listener(tcp, TCP_TIMEOUT, TCP_ANSWERS);
        Ok(Self { address, zone, _server: server })
    }

    /// Says where the replicas of an agent are.
    pub(crate) fn announce(&self, agent: &str, replicas: &[SocketAddr]) -> io::Result<()> {
        let mut services = Vec::new();
        let (mut pods, mut addresses) = (Vec::new(), Vec::new());
        let service = name(&format!("{agent}-a2a.{ZONE}"))?;
        for replica in replicas {
            // As Kubernetes names the pods of a Deployment.
            let pod = replica.ip().to_string().replace('.', "-");
            let pod = name(&format!("{pod}.{agent}-a2a.{ZONE}"))?;
            let srv = SRV::new(0, 100, replica.port(), pod.clone());
            services.push(Record::from_rdata(
                name(&format!("_a2a._tcp.{agent}-a2a.{ZONE}"))?,
                TTL,
                RData::SRV(srv),
            ));
            pods.push(Record::from_rdata(pod, TTL, RData::from(replica.ip())));
            addresses.push(Record::from_rdata(service.clone(), TTL, RData::from(replica.ip())));
        }
        let agent_records =
            Agent { services: services.into(), pods: pods.into(), addresses: addresses.into() };
        self.zone.lock().agents.insert(agent.to_owned(), agent_records);
        Ok(())
    }

    /// How many questions there were about agents whose names begin so, up to their last dash.
    pub(crate) fn questions(&self, prefix: &str) -> Questions {
        self.zone.lock().questions.get(prefix).copied().unwrap_or_default()
    }
}

impl Zone {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The agent that a name belongs to, and whether the name is that of its mesh service.
    fn agent(&self, owner: &str, tcp: bool) -> Option<(Agent, bool)> {
        let label = owner.strip_suffix(ZONE)?.trim_end_matches('.').rsplit('.').next()?;
        let agent = label.strip_suffix("-a2a");
        let mut state = self.lock();
        let prefix = agent.unwrap_or(label).rsplit_once('-').map_or("", |(prefix, _)| prefix);
        let questions = state.questions.entry(prefix.to_owned()).or_default();
        *(if tcp { &mut questions.tcp } else { &mut questions.udp }) += 1;
        let is_service = owner.starts_with("_a2a._tcp.") && agent.is_some();
        questions.lookups += usize::from(is_service && !tcp);
        Some((state.agents.get(agent?)?.clone(), is_service))
    }
}

#[async_trait::async_trait]
impl RequestHandler for Zone {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response: R,
    ) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        let Ok(info) = request.request_info() else {
            return Header { metadata, counts: HeaderCounts::default() }.into();
        };
        let (owner, kind) = (Name::from(info.query.name()), info.query.query_type());
        let tcp = info.protocol == Protocol::Tcp;
        let payload = request.edns.as_ref().map(Edns::max_payload);
        let room = usize::from(if tcp { u16::MAX } else { payload.unwrap_or(SMALL) }) - AROUND;
        let agent = self.agent(&owner.to_ascii(), tcp);
        let (answers, additionals, cut) = match &agent {
            Some((agent, true)) if kind == RecordType::SRV => services(agent, room),
            Some((agent, _)) => addresses(agent, &owner, kind, room),
            None => (Vec::new(), Vec::new(), false),
        };
        let exists = !answers.is_empty() || agent.is_some();
        metadata.response_code = if exists { ResponseCode::NoError } else { ResponseCode::NXDomain };
        metadata.truncation = cut;
        let authorities: Vec<Record> =
            if answers.is_empty() { authority().into_iter().collect() } else { Vec::new() };
        let mut edns = Edns::new();
        edns.set_max_payload(u16::MAX);
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if payload.is_some() {
            builder.edns(&edns);
        }
        let built = builder.build(metadata, answers, &authorities, &[], additionals);
        // Who has gone away needs no answer.
        let sent = response.send_response(built).await;
        sent.unwrap_or_else(|_| Header { metadata, counts: HeaderCounts::default() }.into())
    }
}

/// As many services as there is room for, then as many of their addresses; and whether services were left out.
fn services(agent: &Agent, room: usize) -> (Vec<&Record>, Vec<&Record>, bool) {
    let name = agent.pods.iter().map(|pod| pod.name.len()).max().unwrap_or_default();
    let fit = agent.services.len().min(room / (SRV_SIZE + name));
    let glue = fit.min((room - fit * (SRV_SIZE + name)) / (ADDRESS_SIZE + name));
    // As CoreDNS does, it says so if anything at all was left out.
    let cut = fit.min(glue) < agent.services.len();
    (agent.services.iter().take(fit).collect(), agent.pods.iter().take(glue).collect(), cut)
}

/// The address of a pod, or those of all of the service's pods.
fn addresses<'a>(
    agent: &'a Agent,
    owner: &Name,
    kind: RecordType,
    room: usize,
) -> (Vec<&'a Record>, Vec<&'a Record>, bool) {
    let all = agent.pods.iter().chain(agent.addresses.iter());
    let asked: Vec<_> = all.filter(|record| record.name == *owner && record.record_type() == kind).collect();
    let fit = asked.len().min(room / (ADDRESS_SIZE + 2));
    let cut = fit < asked.len();
    (asked.into_iter().take(fit).collect(), Vec::new(), cut)
}

/// What stands beside an answer that there is nothing.
fn authority() -> io::Result<Record> {
    let soa =
        SOA::new(name("ns.cluster.local.")?, name("hostmaster.cluster.local.")?, 1, 7200, 1800, 86400, TTL);
    Ok(Record::from_rdata(name("cluster.local.")?, TTL, RData::SOA(soa)))
}

/// A UDP and a TCP socket on the same free port.
async fn sockets() -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries = 1;
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) if tries == TRIES => return Err(error),
            Err(_) => tries += 1,
        }
    }
}

fn name(text: &str) -> io::Result<Name> {
    Name::from_ascii(text).map_err(|error| io::Error::other(format!("{text}: {error}")))
}

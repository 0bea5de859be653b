//! A DNS server on a free port, over UDP and TCP, that the test holds: its records change while it runs, it can be in a bad
//! mood about single names, and it remembers every question.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use hickory_server::{
    Server,
    net::{runtime::Time, xfer::Protocol},
    proto::{
        op::{Edns, Header, HeaderCounts, Message, Metadata, OpCode, ResponseCode},
        rr::{
            Name, RData, Record, RecordType,
            rdata::{CNAME, SOA, SRV},
        },
    },
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo},
    zone_handler::MessageResponseBuilder,
};
use tokio::net::{TcpListener, UdpSocket};

/// The size of an answer over UDP to those who do not say how much they take (RFC 1035 §4.2.1).
const SMALL: u16 = 512;

/// How the server takes a question about a name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mood {
    /// It says nothing.
    Drop,
    /// It refuses.
    Refuse,
    /// It says that it cannot.
    ServFail,
    /// It answers after a while.
    Slow(Duration),
    /// It says that the answer is too long even for TCP.
    TooLong,
    /// Over UDP, it says that the answer is too long.
    Truncate,
}

/// A question that was asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Question {
    pub(crate) name: String,
    pub(crate) kind: RecordType,
    pub(crate) tcp: bool,
    /// The size of UDP answers that the asker takes, if it says so.
    pub(crate) payload: Option<u16>,
}

/// The server. It ends when it is dropped.
pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    zone: Zone,
    _server: Server<Zone>,
}

#[derive(Clone, Default)]
struct Zone {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    records: Vec<Record>,
    moods: HashMap<String, Mood>,
    mood: Option<Mood>,
    no_glue: bool,
    questions: Vec<Question>,
}

impl Dns {
    /// A server without records: NXDOMAIN for everybody.
    pub(crate) async fn start() -> Self {
        let (udp, tcp) = sockets().await;
        let address = udp.local_addr().unwrap();
        let zone = Zone::default();
        let mut server = Server::new(zone.clone());
        server.register_socket(udp);
        server.register_listener(tcp, Duration::from_secs(5), 16);
        Self { address, zone, _server: server }
    }

    /// Puts `records` in the place of all there were.
    pub(crate) fn serve(&self, records: impl IntoIterator<Item = Record>) {
        self.zone.lock().records = records.into_iter().collect();
    }

    /// Whether SRV answers bring the addresses of their targets along. They do at first.
    pub(crate) fn glue(&self, glue: bool) {
        self.zone.lock().no_glue = !glue;
    }

    /// The mood about every name without a mood of its own.
    pub(crate) fn mood(&self, mood: impl Into<Option<Mood>>) {
        self.zone.lock().mood = mood.into();
    }

    /// The mood about one name.
    pub(crate) fn mood_about(&self, name: &str, mood: Mood) {
        self.zone.lock().moods.insert(name.into(), mood);
    }

    /// All questions since the last time this was asked.
    pub(crate) fn questions(&self) -> Vec<Question> {
        std::mem::take(&mut self.zone.lock().questions)
    }
}

/// An SRV record, valid for five seconds.
pub(crate) fn srv(owner: &str, priority: u16, port: u16, target: &str) -> Record {
    Record::from_rdata(name(owner), 5, RData::SRV(SRV::new(priority, 100, port, name(target))))
}

/// An A or AAAA record, valid for five seconds.
pub(crate) fn host(owner: &str, address: impl Into<IpAddr>) -> Record {
    Record::from_rdata(name(owner), 5, RData::from(address.into()))
}

/// An alias, valid for five seconds.
pub(crate) fn alias(owner: &str, target: &str) -> Record {
    Record::from_rdata(name(owner), 5, RData::CNAME(CNAME(name(target))))
}

fn name(text: &str) -> Name {
    assert!(text.ends_with('.'), "{text}: write absolute names");
    Name::from_ascii(text).unwrap()
}

/// A UDP and a TCP socket on the same free port.
async fn sockets() -> (UdpSocket, TcpListener) {
    for _ in 0..16 {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
    panic!("no port is free for both UDP and TCP");
}

/// What is answered, before it is known whether it fits.
struct Reply {
    code: ResponseCode,
    answers: Vec<Record>,
    authorities: Vec<Record>,
    additionals: Vec<Record>,
}

impl Zone {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn answer(&self, owner: &Name, kind: RecordType) -> Reply {
        let mut owner = owner.clone();
        let mut answers = Vec::new();
        // As real servers do, it goes only so far: aliases may lead in a ring.
        for _ in 0..8 {
            let alias = self.of(&owner, RecordType::CNAME).next().cloned();
            let Some(RData::CNAME(target)) = alias.as_ref().map(|alias| &alias.data) else { break };
            owner = target.0.clone();
            answers.extend(alias);
        }
        answers.extend(self.of(&owner, kind).cloned());
        let mut additionals = Vec::new();
        if !self.no_glue {
            for answer in &answers {
                let RData::SRV(srv) = &answer.data else { continue };
                additionals.extend(self.of(&srv.target, RecordType::A).cloned());
                additionals.extend(self.of(&srv.target, RecordType::AAAA).cloned());
            }
        }
        let exists = self.records.iter().any(|record| owner.zone_of(&record.name));
        let code = if exists { ResponseCode::NoError } else { ResponseCode::NXDomain };
        let soa = SOA::new(name("ns."), name("hostmaster."), 1, 7200, 1800, 86400, 5);
        let authorities = match answers[..] {
            [] => vec![Record::from_rdata(name("local."), 5, RData::SOA(soa))],
            _ => Vec::new(),
        };
        Reply { code, answers, authorities, additionals }
    }

    fn of(&self, owner: &Name, kind: RecordType) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(move |record| record.name == *owner && record.record_type() == kind)
    }
}

impl Reply {
    fn error(code: ResponseCode) -> Self {
        Self { code, answers: Vec::new(), authorities: Vec::new(), additionals: Vec::new() }
    }

    /// How many bytes it takes on the wire, the question left aside.
    fn len(&self) -> usize {
        let mut message = Message::response(0, OpCode::Query);
        message.answers.clone_from(&self.answers);
        message.authorities.clone_from(&self.authorities);
        message.additionals.clone_from(&self.additionals);
        message.to_vec().unwrap().len()
    }
}

#[async_trait::async_trait]
impl RequestHandler for Zone {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut response: R,
    ) -> ResponseInfo {
        let info = request.request_info().unwrap();
        let (owner, kind) = (Name::from(info.query.name()), info.query.query_type());
        let tcp = info.protocol == Protocol::Tcp;
        let payload = request.edns.as_ref().map(Edns::max_payload);
        let mood = {
            let mut state = self.lock();
            let name = owner.to_ascii();
            let mood = state.moods.get(&name).copied().or(state.mood);
            state.questions.push(Question { name, kind, tcp, payload });
            mood
        };
        let reply = match mood {
            Some(Mood::Drop) => {
                let metadata = Metadata::response_from_request(&request.metadata);
                return Header { metadata, counts: HeaderCounts::default() }.into();
            }
            Some(Mood::Refuse) => Reply::error(ResponseCode::Refused),
            Some(Mood::ServFail) => Reply::error(ResponseCode::ServFail),
            Some(Mood::Slow(time)) => {
                tokio::time::sleep(time).await;
                self.lock().answer(&owner, kind)
            }
            Some(Mood::TooLong | Mood::Truncate) | None => self.lock().answer(&owner, kind),
        };
        let room = if tcp { u16::MAX } else { payload.unwrap_or(SMALL) };
        // The question and the OPT record take their share too.
        let long = reply.len() + owner.len() + 16 > room.into();
        let said = match mood {
            Some(Mood::TooLong) => true,
            Some(Mood::Truncate) => !tcp,
            _ => false,
        };
        let truncated = long || said;

        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = reply.code;
        metadata.truncation = truncated;
        let reply = if truncated { Reply::error(reply.code) } else { reply };
        let mut edns = Edns::new();
        edns.set_max_payload(room);
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if payload.is_some() {
            builder.edns(&edns);
        }
        let built = builder.build(metadata, &reply.answers, &reply.authorities, &[], &reply.additionals);
        response.send_response(built).await.unwrap()
    }
}

//! A question's bytes to an answer's bytes.

use hickory_server::proto::ProtoError;
use hickory_server::proto::op::{Edns, Header, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_server::proto::rr::{DNSClass, RecordType};
use hickory_server::proto::serialize::binary::{BinDecodable as _, BinDecoder};
use rand::rngs::SmallRng;

use super::table::{UDP_MAX, UDP_PLAIN};
use super::{Answer, Zone};

/// How a question came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// In a stream: an answer may have 64 KiB.
    Tcp,
    /// In a datagram: an answer may have what the asker takes, within bounds.
    Udp,
}

/// What is sent back.
#[derive(Debug)]
pub struct Reply {
    /// The whole message.
    pub bytes: Vec<u8>,
    /// What was asked for, if that could be read.
    pub kind: Option<RecordType>,
    /// How it went.
    pub code: ResponseCode,
}

/// Answers a message. None if it is no question at all: what is too short for a header, and answers, which only somebody
/// else's forgery can send here.
///
/// A reply is never longer than [`Transport`] and asker allow. One that would be says so instead (TC) and brings no
/// records, so that nobody takes a part for the whole.
pub fn respond(zone: &Zone, request: &[u8], transport: Transport, chance: &mut SmallRng) -> Option<Reply> {
    let header = Header::read(&mut BinDecoder::new(request)).ok()?;
    if header.metadata.message_type == MessageType::Response {
        return None;
    }
    // Before anything is read that the header makes room for.
    let refusal = match header.metadata.op_code {
        OpCode::Query if header.counts.queries == 1 => None,
        OpCode::Query => Some(ResponseCode::FormErr),
        _ => Some(ResponseCode::NotImp),
    };
    let message = refusal.map_or_else(|| Message::from_vec(request).map_err(|_| ResponseCode::FormErr), Err);
    let message = match message {
        Ok(message) => message,
        Err(code) => return bare(&header.metadata, code),
    };
    let Some(query) = message.queries.first() else {
        return bare(&header.metadata, ResponseCode::FormErr);
    };
    let answer = judge(zone, query, message.edns.as_ref(), chance);
    let envelope = Envelope::new(&header.metadata, query, message.edns.as_ref(), transport);
    let code = answer.code;
    match envelope.seal(answer) {
        Ok(bytes) => Some(Reply { bytes, kind: Some(query.query_type), code }),
        Err(error) => {
            tracing::warn!(name = %query.name, kind = %query.query_type, %error, "An answer cannot be written");
            bare(&header.metadata, ResponseCode::ServFail)
        }
    }
}

fn judge(zone: &Zone, query: &Query, edns: Option<&Edns>, chance: &mut SmallRng) -> Answer {
    let code = if edns.is_some_and(|edns| edns.version() > 0) {
        ResponseCode::BADVERS
    } else if query.query_class != DNSClass::IN {
        ResponseCode::Refused
    } else if query.query_type == RecordType::OPT {
        ResponseCode::FormErr
    } else {
        return zone.answer(&query.name, query.query_type, chance);
    };
    Answer { code, ..Answer::default() }
}

/// A header and nothing else.
fn bare(request: &Metadata, code: ResponseCode) -> Option<Reply> {
    let mut message = Message::response(request.id, request.op_code);
    message.metadata.recursion_desired = request.recursion_desired;
    message.metadata.response_code = code;
    let bytes = message.to_vec().ok()?;
    Some(Reply { bytes, kind: None, code })
}

/// What goes around an answer.
struct Envelope {
    message: Message,
    limit: u16,
}

impl Envelope {
    fn new(request: &Metadata, query: &Query, edns: Option<&Edns>, transport: Transport) -> Self {
        let mut message = Message::response(request.id, request.op_code);
        message.metadata.recursion_desired = request.recursion_desired;
        // As it was asked, letter for letter: askers check that.
        message.add_query(query.clone());
        if let Some(asked) = edns {
            let mut edns = Edns::new();
            edns.set_max_payload(UDP_MAX).set_dnssec_ok(asked.flags().dnssec_ok);
            message.set_edns(edns);
        }
        let limit = match transport {
            Transport::Tcp => u16::MAX,
            Transport::Udp => edns.map_or(UDP_PLAIN, |edns| edns.max_payload().clamp(UDP_PLAIN, UDP_MAX)),
        };
        Self { message, limit }
    }

    fn seal(mut self, answer: Answer) -> Result<Vec<u8>, ProtoError> {
        self.message.metadata.authoritative = answer.authoritative;
        self.message.metadata.response_code = answer.code;
        self.message.answers = answer.answers;
        self.message.authorities = answer.authorities;
        self.message.additionals = answer.additionals;
        let whole = self.message.to_vec()?;
        if whole.len() <= usize::from(self.limit) && !was_cut(&whole) {
            return Ok(whole);
        }
        self.message.answers.clear();
        self.message.authorities.clear();
        self.message.additionals.clear();
        self.message.metadata.truncation = true;
        self.message.to_vec()
    }
}

/// Whether the encoder gave up at 64 KiB: then there are bytes behind the message that belong to nothing.
fn was_cut(message: &[u8]) -> bool {
    const TC: u8 = 0b10;
    message.get(2).is_some_and(|flags| flags & TC != 0)
}

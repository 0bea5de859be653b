//! The messages of the bench: what is asked, and what the agent answers. The fields that the two must find stand in front.

use std::ops::Range;

/// How an id starts that the load gives, and how many digits follow.
const ID: &str = "\"id\":\"";
const ID_DIGITS: usize = 16;
/// Stands in the last event of a stream.
pub(crate) const LAST: &[u8] = b"TASK_STATE_COMPLETED";
const HEAD: usize = 512;

/// The agent's card.
pub(crate) const CARD: &str = r#"{
    "name": "Bench", "description": "Answers at once", "version": "1.0.0",
    "supportedInterfaces": [{"url": "http://127.0.0.1/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
    "capabilities": {"streaming": true}, "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
    "skills": [{"id": "travel", "name": "Travel", "description": "Finds trains", "tags": ["travel"]}]
}"#;

/// What the load asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Question {
    /// The bytes of the request's body.
    pub(crate) body: usize,
    /// The events that are wanted, or 0 for one answer.
    pub(crate) events: usize,
}

/// The bytes of a request, with the place of its id.
pub(crate) struct Request {
    pub(crate) bytes: Vec<u8>,
    id: Range<usize>,
}

impl Question {
    /// The whole request to a path of a host. The message's id tells the agent how many events are wanted.
    pub(crate) fn request(self, path: &str, host: &str) -> Request {
        let method = if self.events > 0 { "SendStreamingMessage" } else { "SendMessage" };
        let front = format!(
            "{{\"jsonrpc\":\"2.0\",{ID}{:0ID_DIGITS$}\",\"method\":\"{method}\",\"params\":{{\"message\":\
             {{\"messageId\":\"{}\",\"contextId\":\"c1f7e1b4\",\"role\":\"ROLE_USER\",\"parts\":[{{",
            0, self.events
        );
        // A large body is a file, as it would be; others are text with a line break here and there.
        let (front, filler, back) = if self.body > 1 << 20 {
            (front + "\"raw\":\"", "Q29uZmlybWVk", "\",\"filename\":\"scan.tiff\"}]}}}")
        } else {
            (front + "\"text\":\"", "Two seats by the window, please, on a train before noon.\\n", "\"}]}}}")
        };
        let room = self.body.saturating_sub(front.len() + back.len());
        let padding = if self.events == 0 && self.body > 1 << 20 { 0 } else { room % filler.len() };
        let body = front + &filler.repeat(room / filler.len()) + &"x".repeat(padding) + back;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\naccept: {}\r\n\
             a2a-version: 1.0\r\ncontent-length: {}\r\n\r\n",
            if self.events > 0 { "text/event-stream" } else { "application/json" },
            body.len()
        );
        let bytes = (head + &body).into_bytes();
        let id = find(&bytes, ID.as_bytes()).map_or(0, |at| at + ID.len());
        Request { bytes, id: id..id + ID_DIGITS }
    }

    /// Whether an answer is the right one. `bytes` is how long it is, `text` as much of it as was kept.
    pub(crate) fn answered(self, request: &Request, bytes: usize, text: &[u8]) -> bool {
        let head = &text[..text.len().min(HEAD)];
        let tail = &text[text.len() - text.len().min(HEAD)..];
        find(head, &request.bytes[request.id.clone()]).is_some()
            && find(head, b"\"result\"").is_some()
            && (self.events == 0 || find(tail, LAST).is_some() && bytes > self.events * event("", "").len())
    }
}

impl Request {
    /// Gives the request another id.
    pub(crate) fn number(&mut self, number: usize) {
        let id = format!("{number:0ID_DIGITS$}");
        self.bytes[self.id.clone()].copy_from_slice(id.as_bytes());
    }
}

/// What the agent must know of a request: its id as it was written, and how many events are wanted.
pub(crate) fn asked(body: &[u8]) -> Option<(String, usize)> {
    let head = &body[..body.len().min(HEAD)];
    let after = |member: &[u8]| find(head, member).map(|at| &head[at + member.len()..]);
    let id = after(b"\"id\":")?.split(|byte| matches!(byte, b',' | b'}')).next()?;
    let events = after(b"\"messageId\":\"")?.split(|byte| *byte == b'"').next()?;
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    Some((text(id)?, text(events)?.parse().ok()?))
}

/// The answer to a request.
pub(crate) fn answer(id: &str) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"message\":{{\"messageId\":\"8d1f6f1e\",\"contextId\":\
         \"c1f7e1b4\",\"role\":\"ROLE_AGENT\",\"parts\":[{{\"text\":\"The 9:12 from the central station is the \
         fastest; it arrives at 13:47 and has seats left in both classes.\"}}],\"metadata\":{{\"seats\":2}}}}}}}}"
    )
}

/// One event of a stream, as a chunk would hold it.
pub(crate) fn event(id: &str, state: &str) -> String {
    format!(
        "data: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"statusUpdate\":{{\"taskId\":\"5f0d4c1e\",\"contextId\":\
         \"c1f7e1b4\",\"status\":{{\"state\":\"{state}\",\"message\":{{\"messageId\":\"8d1f6f1e\",\"role\":\
         \"ROLE_AGENT\",\"parts\":[{{\"text\":\"Asking the railways.\"}}]}},\"timestamp\":\
         \"2026-02-11T09:30:15.250Z\"}}}}}}}}\n\n"
    )
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

//! The caller's side: plain HTTP/1.1 and JSON-RPC, with the bytes of answers as they came.

use std::collections::VecDeque;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::net::TcpStream;

use super::http1::{Head, Wire};
use super::{json, soon};

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: Head,
    pub(crate) body: String,
}

/// A connection on which requests are sent one after the other.
pub(crate) struct Client {
    wire: Wire,
}

/// An answer of which only the head was read.
pub(crate) struct Reading {
    pub(crate) status: u16,
    pub(crate) head: Head,
    wire: Wire,
    text: Vec<u8>,
    seen: VecDeque<String>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = soon("a connection", TcpStream::connect(address)).await.unwrap();
        Self { wire: Wire::new(stream) }
    }

    /// Sends bytes that may be anything.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.wire.send(bytes).await.unwrap();
    }

    /// Sends a request: its first line without the version, its header lines, and its body.
    pub(crate) async fn request(&mut self, line: &str, headers: &str, body: &str) {
        let request = format!("{line} HTTP/1.1\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len());
        self.send(request.as_bytes()).await;
    }

    /// The whole answer to what was sent.
    pub(crate) async fn answer(&mut self) -> Answer {
        soon("an answer", async {
            let head = self.wire.head().await.unwrap().expect("an answer, not the end of the connection");
            let body = self.wire.body(&head).await.unwrap();
            Answer { status: status(&head), head, body: String::from_utf8(body).unwrap() }
        })
        .await
    }

    /// The head of the answer; its body comes bit by bit.
    pub(crate) async fn reading(mut self) -> Reading {
        let head = soon("an answer", self.wire.head()).await.unwrap().expect("an answer");
        Reading { status: status(&head), head, wire: self.wire, text: Vec::new(), seen: VecDeque::new() }
    }

    /// The head of an answer, whatever comes behind it.
    pub(crate) async fn head(&mut self) -> Head {
        soon("an answer", self.wire.head()).await.unwrap().expect("an answer, not the end of the connection")
    }

    /// Waits until the other end closes the connection.
    pub(crate) async fn closed(&mut self) {
        soon("the end of the connection", self.wire.closed()).await;
    }
}

fn status(head: &Head) -> u16 {
    head.word(1).parse().unwrap()
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        json::value(&self.body)
    }

    /// The result, as it was written.
    pub(crate) fn result(&self) -> String {
        json::member(&self.body, "result").unwrap_or_else(|| panic!("no result in {}", self.body))
    }

    /// The error object, as it was written.
    pub(crate) fn error(&self) -> String {
        json::member(&self.body, "error").unwrap_or_else(|| panic!("no error in {}", self.body))
    }

    /// The reason in the details of an error that is no agent's own.
    pub(crate) fn reason(&self) -> String {
        reason(&self.error())
    }
}

/// The reason in the details of an error object.
pub(crate) fn reason(error: &str) -> String {
    let error = json::value(error);
    error["data"][0]["reason"].as_str().unwrap_or_else(|| panic!("no reason in {error}")).to_owned()
}

impl Reading {
    /// The next block of the stream: an event or a comment, without the empty line behind it. `None` is its end.
    pub(crate) async fn block(&mut self) -> Option<String> {
        soon("the next event", async {
            loop {
                if let Some(block) = self.seen.pop_front() {
                    return Some(block);
                }
                let chunk = self.wire.chunk().await.unwrap()?;
                self.text.extend(chunk);
                while let Some(end) = self.text.windows(2).position(|window| window == b"\n\n") {
                    let block = String::from_utf8(self.text[..end].to_vec()).unwrap();
                    self.text.drain(..end + 2);
                    self.seen.push_back(block);
                }
            }
        })
        .await
    }

    /// The next line; `None` is the end.
    pub(crate) async fn line(&mut self) -> Option<String> {
        soon("the next line", async {
            loop {
                if let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = self.text.drain(..=end).collect();
                    return Some(String::from_utf8(line).unwrap());
                }
                let chunk = self.wire.chunk().await.unwrap()?;
                self.text.extend(chunk);
            }
        })
        .await
    }

    /// The JSON text of the next event, whatever comments come before it; `None` is the end.
    pub(crate) async fn event(&mut self) -> Option<String> {
        // Comments may come for ever.
        soon("an event, or the end", async {
            loop {
                let block = self.block().await?;
                if block.starts_with(':') {
                    continue;
                }
                let data =
                    block.strip_prefix("data: ").unwrap_or_else(|| panic!("no plain event: {block:?}"));
                assert!(!data.contains('\n'), "data of several lines: {data:?}");
                return Some(data.to_owned());
            }
        })
        .await
    }

    /// The result of the next event, as it was written.
    pub(crate) async fn result(&mut self) -> String {
        let event = self.event().await.expect("an event, not the end");
        json::member(&event, "result").unwrap_or_else(|| panic!("no result in {event}"))
    }

    /// The error object of the next event, as it was written, after which the stream must end.
    pub(crate) async fn last_error(&mut self) -> String {
        let event = self.event().await.expect("an event, not the end");
        assert_eq!(self.event().await, None);
        json::member(&event, "error").unwrap_or_else(|| panic!("no error in {event}"))
    }
}

/// The header lines of a JSON-RPC call.
pub(crate) const JSON: &str = "Host: localhost\r\nContent-Type: application/json\r\nA2A-Version: 1.0\r\n";

/// A JSON-RPC request.
pub(crate) fn envelope(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
}

/// The parameters of a message of one text.
pub(crate) fn say(text: &str) -> String {
    format!(r#"{{"message":{{"messageId":"m","role":"ROLE_USER","parts":[{{"text":{text:?}}}]}}}}"#)
}

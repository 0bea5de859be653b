//! An agent on plain HTTP that the test holds: each request waits until the test answers it, in whatever way.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::http1::{Head, Wire};
use super::{json, soon};

/// The agent. Nobody answers after it is dropped, and its connections are closed.
pub(crate) struct Agent {
    pub(crate) address: SocketAddr,
    requests: mpsc::UnboundedReceiver<Received>,
    card: watch::Sender<Card>,
    _listening: AbortOnDropHandle<()>,
}

/// What the agent answers who asks for its card.
#[derive(Clone)]
enum Card {
    None,
    Shown(String),
    BreaksOff(Arc<AtomicUsize>),
}

/// A request that waits for its answer. Dropped without one, its connection is closed.
pub(crate) struct Received {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    /// Which of the agent's connections it came on, from 0.
    pub(crate) connection: usize,
    wire: Wire,
    back: oneshot::Sender<Wire>,
}

/// A stream of events that the test writes.
pub(crate) struct Events {
    wire: Wire,
    /// The id of the request, as it was written.
    id: String,
}

impl Agent {
    pub(crate) async fn start() -> Self {
        Self::listen("127.0.0.1:0".parse().unwrap()).await
    }

    /// An agent at an address that was free a moment ago.
    pub(crate) async fn listen(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tx, requests) = mpsc::unbounded_channel();
        let (card, shown) = watch::channel(Card::None);
        let listening = dragoman::task::spawn(accept(listener, tx, shown));
        Self { address, requests, card, _listening: listening }
    }

    /// Shows a card from now on. Until then the agent has none; who asks for it is answered here and not by the test.
    pub(crate) fn show(&self, card: impl Into<String>) {
        self.card.send_replace(Card::Shown(card.into()));
    }

    /// Closes the connection of who asks for a card from now on, and counts how often that was.
    pub(crate) fn break_off_cards(&self) -> Arc<AtomicUsize> {
        let asked = Arc::<AtomicUsize>::default();
        self.card.send_replace(Card::BreaksOff(Arc::clone(&asked)));
        asked
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next request.
    pub(crate) async fn request(&mut self) -> Received {
        soon("a request at the agent", self.requests.recv()).await.unwrap()
    }

    /// Whether a request has come that nobody has looked at.
    pub(crate) fn was_asked(&mut self) -> bool {
        self.requests.try_recv().is_ok()
    }

    /// Answers everything with what `result` makes of it, from now on.
    pub(crate) fn always(
        self,
        result: impl Fn(&Received) -> String + Send + Sync + 'static,
    ) -> AbortOnDropHandle<()> {
        let Self { mut requests, _listening: listening, .. } = self;
        dragoman::task::spawn(async move {
            let _listening = listening;
            while let Some(request) = requests.recv().await {
                let result = result(&request);
                request.result(&result).await;
            }
        })
    }
}

async fn accept(listener: TcpListener, tx: mpsc::UnboundedSender<Received>, card: watch::Receiver<Card>) {
    let mut connections = JoinSet::new();
    for connection in 0.. {
        let (stream, _) = listener.accept().await.unwrap();
        connections.spawn(serve(stream, connection, tx.clone(), card.clone()));
    }
}

async fn serve(
    stream: TcpStream,
    connection: usize,
    tx: mpsc::UnboundedSender<Received>,
    card: watch::Receiver<Card>,
) -> io::Result<()> {
    let mut wire = Wire::new(stream);
    while let Some(head) = wire.head().await? {
        let body = wire.body(&head).await?;
        if head.word(0) == "GET" && head.word(1).contains("/.well-known/") {
            let shown = card.borrow().clone();
            let (status, card) = match shown {
                Card::None => ("404 Not Found", String::new()),
                Card::Shown(card) => ("200 OK", card),
                Card::BreaksOff(asked) => {
                    asked.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
            };
            let length = card.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
            );
            wire.send(format!("{head}{card}").as_bytes()).await?;
            continue;
        }
        let (back, returned) = oneshot::channel();
        if tx.send(Received { head, body, connection, wire, back }).is_err() {
            return Ok(());
        }
        // The connection comes back once it may be used again.
        match returned.await {
            Ok(returned) => wire = returned,
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

impl Received {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        json::value(self.text())
    }

    pub(crate) fn method(&self) -> String {
        self.json()["method"].as_str().unwrap().to_owned()
    }

    /// The parameters, as they were written.
    pub(crate) fn params(&self) -> String {
        json::member(self.text(), "params").unwrap()
    }

    /// The id, as it was written.
    pub(crate) fn id(&self) -> String {
        json::member(self.text(), "id").unwrap()
    }

    /// Answers with a result.
    pub(crate) async fn result(self, result: &str) {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, self.id());
        self.answer("200 OK", "Content-Type: application/json\r\n", body.as_bytes()).await;
    }

    /// Answers with a result that has no envelope.
    pub(crate) async fn plain(self, result: &str) {
        self.answer("200 OK", "Content-Type: application/a2a+json\r\n", result.as_bytes()).await;
    }

    /// Answers with an error object.
    pub(crate) async fn error(self, error: &str) {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, self.id());
        self.answer("200 OK", "Content-Type: application/json\r\n", body.as_bytes()).await;
    }

    /// Answers with that status, these header lines, and that body.
    pub(crate) async fn answer(self, status: &str, headers: &str, body: &[u8]) {
        let Self { mut wire, back, .. } = self;
        let mut text =
            format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
        text.extend_from_slice(body);
        // Who asked may have left.
        if wire.send(&text).await.is_ok() {
            drop(back.send(wire));
        }
    }

    /// Answers with bytes that may be anything, and keeps the connection.
    pub(crate) async fn raw(mut self, bytes: &[u8]) -> Wire {
        self.wire.send(bytes).await.unwrap();
        self.wire
    }

    /// Begins to answer with a stream.
    pub(crate) async fn stream(self) -> Events {
        self.stream_with("").await
    }

    /// Begins to answer with a stream and these header lines.
    pub(crate) async fn stream_with(self, headers: &str) -> Events {
        // Only JSON-RPC has one.
        let id = if self.text().starts_with("{\"jsonrpc\"") { self.id() } else { String::new() };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{headers}Transfer-Encoding: chunked\r\n\r\n"
        );
        Events { wire: self.raw(head.as_bytes()).await, id }
    }

    /// Waits until the caller's side closes the connection.
    pub(crate) async fn left(mut self) {
        soon("the end of the connection to the agent", self.wire.closed()).await;
    }

    /// Closes the connection at once.
    pub(crate) fn break_off(self) {
        self.wire.reset();
    }
}

impl Events {
    /// Sends an event with a result, on one line.
    pub(crate) async fn event(&mut self, result: &str) {
        let result = result.replace('\n', " ");
        let text = format!("data: {}\n\n", self.envelope(&format!(r#""result":{result}"#)));
        self.raw(text.as_bytes()).await.unwrap();
    }

    /// Sends an event without an envelope.
    pub(crate) async fn plain(&mut self, data: &str) {
        self.raw(format!("data: {}\n\n", data.replace('\n', " ")).as_bytes()).await.unwrap();
    }

    /// Sends an event with an error object.
    pub(crate) async fn error(&mut self, error: &str) {
        let text = format!("data: {}\n\n", self.envelope(&format!(r#""error":{error}"#)));
        self.raw(text.as_bytes()).await.unwrap();
    }

    /// A JSON-RPC answer to the request.
    pub(crate) fn envelope(&self, member: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":{},{member}}}"#, self.id)
    }

    /// Sends a piece of the stream's text.
    pub(crate) async fn raw(&mut self, text: &[u8]) -> io::Result<()> {
        let mut chunk = format!("{:x}\r\n", text.len()).into_bytes();
        chunk.extend_from_slice(text);
        chunk.extend_from_slice(b"\r\n");
        self.wire.send(&chunk).await
    }

    /// Sends an event with a result and ends the stream in order, at once.
    pub(crate) async fn last(mut self, result: &str) {
        let text = format!("data: {}\n\n", self.envelope(&format!(r#""result":{result}"#)));
        let chunk = format!("{:x}\r\n{text}\r\n0\r\n\r\n", text.len());
        self.wire.send(chunk.as_bytes()).await.unwrap();
    }

    /// Ends the stream in order.
    pub(crate) async fn end(mut self) {
        self.wire.send(b"0\r\n\r\n").await.unwrap();
    }

    /// Breaks the stream off.
    pub(crate) fn break_off(self) {
        self.wire.reset();
    }

    /// Waits until the caller's side closes the connection.
    pub(crate) async fn left(mut self) {
        soon("the end of the stream to the agent", self.wire.closed()).await;
    }
}

/// The text of a task's status, as a result of a stream.
pub(crate) fn status_update(text: &str) -> String {
    format!(
        r#"{{"statusUpdate":{{"taskId":"t","contextId":"c","status":{{"state":"TASK_STATE_WORKING","message":{{"messageId":"m","role":"ROLE_AGENT","parts":[{{"text":{text:?}}}]}}}}}}}}"#
    )
}

/// A message as a result, of one text.
pub(crate) fn message(text: &str) -> String {
    format!(r#"{{"message":{{"messageId":"m","role":"ROLE_AGENT","parts":[{{"text":{text:?}}}]}}}}"#)
}

//! The crowd: a process that holds as many connections to one sidecar as it is told to, and does nothing on them.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use super::agent::HOLD;
use super::http::{Connection, wrong};
use super::message::Question;
use super::process::tell;

/// How many connections are made at once.
const AT_ONCE: usize = 32;
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(20);
const BODY: usize = 1 << 10;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// What the crowd is told; it answers each with an [`Outcome`].
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Order {
    /// Call each of the agents `{prefix}{number}` once.
    CallEach { prefix: String, numbers: Range<usize> },
    /// Call one agent so many times.
    CallOften { path: String, calls: usize },
    /// Make so many connections, call once on each, and keep it.
    Rest { path: String, connections: usize },
    /// Open so many streams, each on a connection of its own, and keep them once the first event is there.
    Stream { path: String, streams: usize },
    /// Close everything.
    Leave,
}

/// What came of an order.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Outcome {
    /// How many got an answer without an error, and with one.
    pub(crate) good: usize,
    pub(crate) refused: usize,
}

/// Obeys until stdin ends.
pub(crate) async fn run(address: SocketAddr) -> Result<()> {
    let mut held = JoinSet::new();
    while let Some(order) = heard().await? {
        let outcome = obey(serde_json::from_str(&order)?, address, &mut held).await?;
        tell(&serde_json::to_string(&outcome)?)?;
    }
    Ok(())
}

/// The next line that it is told.
pub(crate) async fn heard() -> io::Result<Option<String>> {
    let line = spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|bytes| (bytes > 0).then_some(line))
    });
    line.await?
}

async fn obey(order: Order, address: SocketAddr, held: &mut JoinSet<io::Result<()>>) -> io::Result<Outcome> {
    let mut outcome = Outcome::default();
    match order {
        Order::CallEach { prefix, numbers } => {
            let calls = numbers.map(|number| call(address, format!("{prefix}{number}")));
            let mut calls = stream::iter(calls).buffer_unordered(AT_ONCE);
            while let Some(called) = calls.next().await {
                outcome.count(called?.1);
            }
        }
        Order::CallOften { path, calls } => {
            let mut callers = stream::iter((0..AT_ONCE).map(|_| often(address, &path, calls / AT_ONCE + 1)))
                .buffer_unordered(AT_ONCE);
            while let Some(called) = callers.next().await {
                let called = called?;
                outcome.good += called.good;
                outcome.refused += called.refused;
            }
        }
        Order::Rest { path, connections } => {
            let mut calls =
                stream::iter((0..connections).map(|_| call(address, path.clone()))).buffer_unordered(AT_ONCE);
            while let Some(called) = calls.next().await {
                let (mut connection, good) = called?;
                outcome.count(good);
                held.spawn(async move { connection.head().await.map(drop) });
            }
        }
        Order::Stream { path, streams } => {
            let mut opened =
                stream::iter((0..streams).map(|_| open(address, &path))).buffer_unordered(AT_ONCE);
            while let Some(connection) = opened.next().await {
                outcome.count(true);
                held.spawn(listen(connection?));
            }
        }
        Order::Leave => held.shutdown().await,
    }
    Ok(outcome)
}

impl Outcome {
    fn count(&mut self, good: bool) {
        *(if good { &mut self.good } else { &mut self.refused }) += 1;
    }
}

/// Calls once; with the connection, and whether the answer was a result.
async fn call(address: SocketAddr, path: String) -> io::Result<(Connection, bool)> {
    let mut connection = Connection::new(TcpStream::connect(address).await?)?;
    let good = ask(&mut connection, address, &path).await?;
    Ok((connection, good))
}

async fn often(address: SocketAddr, path: &str, calls: usize) -> io::Result<Outcome> {
    let mut connection = Connection::new(TcpStream::connect(address).await?)?;
    let mut outcome = Outcome::default();
    for _ in 0..calls {
        outcome.count(ask(&mut connection, address, path).await?);
    }
    Ok(outcome)
}

async fn ask(connection: &mut Connection, address: SocketAddr, path: &str) -> io::Result<bool> {
    let request = Question { body: BODY, events: 0 }.request(path, &address.to_string());
    let exchange = async {
        connection.send(&request.bytes).await?;
        let head = connection.head().await?.ok_or_else(|| wrong("closed instead of answered"))?;
        let mut answer = Vec::new();
        connection.body(&head, &mut answer).await?;
        Ok(answer.windows(8).any(|member| member == b"\"result\""))
    };
    timeout(PATIENCE, exchange).await?
}

/// Opens a stream, and reads its first event.
pub(crate) async fn open(address: SocketAddr, path: &str) -> io::Result<Connection> {
    let mut connection = Connection::new(TcpStream::connect(address).await?)?;
    let request = Question { body: BODY, events: HOLD }.request(path, &address.to_string());
    let opening = async {
        connection.send(&request.bytes).await?;
        connection.head().await?.ok_or_else(|| wrong("closed instead of answered"))?;
        let mut event = Vec::new();
        connection.chunk(&mut event).await?;
        let is_event = event.windows(12).any(|member| member == b"statusUpdate");
        if is_event { Ok(()) } else { Err(wrong(&String::from_utf8_lossy(&event))) }
    };
    timeout(PATIENCE, opening).await??;
    Ok(connection)
}

/// Reads what comes until the stream ends.
async fn listen(mut connection: Connection) -> io::Result<()> {
    let mut piece = Vec::new();
    while connection.chunk(&mut piece).await? > 0 {
        piece.clear();
    }
    Ok(())
}

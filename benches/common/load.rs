//! The load: so many connections, each with one call under way at any time. It runs in a process of its own, on one
//! thread, and tells how much of a core it took, so that one sees when it was the bottleneck.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::http::{Connection, wrong};
use super::message::Question;
use super::process::{cpu_of, tell};

/// The most calls of one connection in one run.
const CALLS_MAX: usize = 100_000;
/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(20);

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// What to do.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Order {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
    pub(crate) body: usize,
    pub(crate) events: usize,
    pub(crate) connections: usize,
    pub(crate) warm_up: Duration,
    pub(crate) window: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Outcome {
    /// How many calls were answered, and how many were not, or wrongly.
    pub(crate) calls: usize,
    pub(crate) failed: usize,
    pub(crate) took: Duration,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// The processor time of the load itself.
    pub(crate) cpu: Duration,
}

/// A connection with the latencies of its calls.
struct Caller {
    connection: Connection,
    latencies: Vec<Duration>,
    failed: usize,
}

/// Warms up, says so, waits for a line on stdin, measures, and tells the outcome.
pub(crate) async fn run(order: &str) -> Result<()> {
    let order: Order = serde_json::from_str(order)?;
    let mut callers = Vec::new();
    for _ in 0..order.connections {
        callers.push(Caller::connect(order.address).await?);
    }
    let mut callers = call(callers, &order, order.warm_up).await?;
    for caller in &mut callers {
        caller.latencies.clear();
        caller.failed = 0;
    }
    tell("warm")?;
    let mut go = String::new();
    // Nothing else is under way on this thread.
    if io::stdin().read_line(&mut go)? == 0 {
        return Ok(());
    }
    let (began, cpu) = (Instant::now(), cpu_of("self")?);
    let callers = call(callers, &order, order.window).await?;
    let (took, cpu) = (began.elapsed(), cpu_of("self")?.saturating_sub(cpu));
    let failed = callers.iter().map(|caller| caller.failed).sum();
    let mut latencies: Vec<Duration> = callers.into_iter().flat_map(|caller| caller.latencies).collect();
    latencies.sort_unstable();
    let part = |per_cent: usize| latencies.get(latencies.len() * per_cent / 100).copied().unwrap_or_default();
    let outcome = Outcome { calls: latencies.len(), failed, took, p50: part(50), p99: part(99), cpu };
    tell(&serde_json::to_string(&outcome)?)?;
    Ok(())
}

/// Lets all callers call until the time is over; calls under way then are still answered.
async fn call(callers: Vec<Caller>, order: &Order, time: Duration) -> Result<Vec<Caller>> {
    let end = Instant::now() + time;
    let mut running = JoinSet::new();
    for caller in callers {
        running.spawn(caller.call(order.clone(), end));
    }
    let mut callers = Vec::new();
    while let Some(ended) = running.join_next().await {
        callers.push(ended??);
    }
    Ok(callers)
}

impl Caller {
    async fn connect(address: SocketAddr) -> io::Result<Self> {
        let connection = Connection::new(TcpStream::connect(address).await?)?;
        Ok(Self { connection, latencies: Vec::new(), failed: 0 })
    }

    async fn call(mut self, order: Order, end: Instant) -> io::Result<Self> {
        let question = Question { body: order.body, events: order.events };
        let mut request = question.request(&order.path, &order.address.to_string());
        let mut answer = Vec::new();
        for number in 1..=CALLS_MAX {
            request.number(number);
            let began = Instant::now();
            let exchange = async {
                self.connection.send(&request.bytes).await?;
                let head =
                    self.connection.head().await?.ok_or_else(|| wrong("closed instead of answered"))?;
                let bytes = self.connection.body(&head, &mut answer).await?;
                Ok::<_, io::Error>(head.first.starts_with("HTTP/1.1 200 ").then_some(bytes))
            };
            let late = |_| Err(wrong("no answer in time"));
            match timeout(PATIENCE, exchange).await.unwrap_or_else(late) {
                Ok(Some(bytes)) if question.answered(&request, bytes, &answer) => {
                    self.latencies.push(began.elapsed());
                }
                Ok(_) => self.failed += 1,
                // Who refuses a request that is still being sent may close.
                Err(_) => {
                    self.failed += 1;
                    self.connection = Self::connect(order.address).await?.connection;
                }
            }
            if Instant::now() >= end {
                break;
            }
        }
        Ok(self)
    }
}

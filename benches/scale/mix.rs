//! The mix: calls of every kind, at a constant pace, for as long as the process runs.

use std::cell::Cell;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

use super::agent::REFUSE;
use super::crowd::{heard, open};
use super::http::{Connection, wrong};
use super::message::Question;
use super::process::tell;
use super::stage::CALLEE;

/// How many callers there are, and how long each waits between two calls.
const CALLERS: usize = 8;
const PAUSE: Duration = Duration::from_millis(10);
/// How many calls a caller makes before it makes a new connection.
const CALLS_PER_CONNECTION: usize = 50;
/// How many agents are called that do not exist.
const NOBODIES: usize = 20;
const PATIENCE: Duration = Duration::from_secs(20);

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Done {
    pub(crate) calls: usize,
    /// Calls that did not end as they should have.
    pub(crate) wrong: usize,
}

/// Calls until stdin ends, and tells what was done for each line there.
pub(crate) async fn run(address: SocketAddr) -> Result<()> {
    let done = Rc::new(Cell::new(Done::default()));
    let callers = LocalSet::new();
    for number in 0..CALLERS {
        callers.spawn_local(caller(address, number, Rc::clone(&done)));
    }
    callers
        .run_until(async {
            while heard().await?.is_some() {
                tell(&serde_json::to_string(&done.get())?)?;
            }
            Ok(())
        })
        .await
}

async fn caller(address: SocketAddr, number: usize, done: Rc<Cell<Done>>) {
    let mut connection = None;
    for turn in number.. {
        let right = timeout(PATIENCE, call(&mut connection, address, turn)).await;
        let mut now = done.get();
        now.calls += 1;
        if !matches!(right, Ok(Ok(true))) {
            now.wrong += 1;
            connection = None;
        }
        done.set(now);
        if turn.is_multiple_of(CALLS_PER_CONNECTION) {
            connection = None;
        }
        sleep(PAUSE).await;
    }
}

/// Makes one call, and says whether it ended as it should have.
async fn call(connection: &mut Option<Connection>, address: SocketAddr, turn: usize) -> io::Result<bool> {
    let plain = Question { body: 1 << 10, events: 0 };
    let (path, question, expected) = match turn % 8 {
        0..3 => (CALLEE.to_owned(), plain, "\"result\""),
        3 => (CALLEE.to_owned(), Question { body: 64 << 10, ..plain }, "\"result\""),
        4 => (CALLEE.to_owned(), Question { events: 20, ..plain }, "TASK_STATE_COMPLETED"),
        5 => (CALLEE.to_owned(), Question { events: REFUSE, ..plain }, "No trains on Sundays"),
        6 => (format!("/agents/nobody-{}", turn / 8 % NOBODIES), plain, "AGENT_NOT_FOUND"),
        // It leaves while the agent is at work.
        _ => return open(address, CALLEE).await.map(|_| true),
    };
    let connection = match connection {
        Some(connection) => connection,
        none => none.insert(Connection::new(TcpStream::connect(address).await?)?),
    };
    connection.send(&question.request(&path, &address.to_string()).bytes).await?;
    let head = connection.head().await?.ok_or_else(|| wrong("closed instead of answered"))?;
    let mut answer = Vec::new();
    connection.body(&head, &mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).contains(expected))
}

//! The agent: it answers at once, streams, refuses, or says one thing and is silent from then on.

use std::io;
use std::net::Ipv4Addr;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::http::{Connection, wrong};
use super::message::{CARD, LAST, answer, asked, event};
use super::process::tell;

/// Asking for so many events asks for one, on a stream that stays open.
pub(crate) const HOLD: usize = 1 << 20;
/// Asking for so many events asks for an error.
pub(crate) const REFUSE: usize = HOLD + 1;

/// Serves until the process ends.
pub(crate) async fn run() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    tell(&listener.local_addr()?.to_string())?;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => drop(connections.spawn(serve(accepted?.0))),
            // A connection that broke is its client's to tell.
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream) -> io::Result<()> {
    let mut connection = Connection::new(stream)?;
    let mut body = Vec::new();
    while let Some(head) = connection.head().await? {
        connection.body(&head, &mut body).await?;
        if head.first.starts_with("GET ") {
            connection.send(once(CARD).as_bytes()).await?;
            continue;
        }
        let (id, events) = asked(&body).ok_or_else(|| wrong("a request of somebody else"))?;
        match events {
            0 => connection.send(once(&answer(&id)).as_bytes()).await?,
            HOLD => hold(&mut connection, &id).await?,
            REFUSE => connection.send(once(&refusal(&id)).as_bytes()).await?,
            _ => stream_events(&mut connection, &id, events).await?,
        }
    }
    Ok(())
}

/// An answer of known length.
fn once(json: &str) -> String {
    let length = json.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{json}")
}

fn refusal(id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32603,"message":"No trains on Sundays"}}}}"#)
}

/// Sends each event by itself.
async fn stream_events(connection: &mut Connection, id: &str, events: usize) -> io::Result<()> {
    connection.send(STREAM).await?;
    let working = chunk(&event(id, "TASK_STATE_WORKING"));
    for _ in 1..events {
        connection.send(working.as_bytes()).await?;
    }
    let last = chunk(&event(id, &String::from_utf8_lossy(LAST)));
    connection.send(last.as_bytes()).await?;
    connection.send(b"0\r\n\r\n").await
}

/// Sends an event, and nothing more until the caller leaves.
async fn hold(connection: &mut Connection, id: &str) -> io::Result<()> {
    connection.send(STREAM).await?;
    connection.send(chunk(&event(id, "TASK_STATE_WORKING")).as_bytes()).await?;
    connection.head().await.map(drop)
}

const STREAM: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

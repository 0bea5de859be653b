//! The agent: answers at once, with one message or with a stream of status updates.

use std::io;
use std::net::Ipv4Addr;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::http::{Connection, wrong};
use super::message::{CARD, LAST, answer, asked, event};
use super::process::tell;

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
            // The sidecar wants to know where the agent serves what.
            connection.send(once(CARD).as_bytes()).await?;
            continue;
        }
        let (id, events) = asked(&body).ok_or_else(|| wrong("a request of somebody else"))?;
        if events == 0 {
            connection.send(once(&answer(&id)).as_bytes()).await?;
        } else {
            stream_events(&mut connection, &id, events).await?;
        }
    }
    Ok(())
}

/// An answer of known length.
fn once(json: &str) -> String {
    let length = json.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{json}")
}

/// Sends each event by itself, as an agent does that has nothing more to say yet.
async fn stream_events(connection: &mut Connection, id: &str, events: usize) -> io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    connection.send(head.as_bytes()).await?;
    let chunk = |text: String| format!("{:x}\r\n{text}\r\n", text.len());
    let working = chunk(event(id, "TASK_STATE_WORKING"));
    for _ in 1..events {
        connection.send(working.as_bytes()).await?;
    }
    let last = chunk(event(id, &String::from_utf8_lossy(LAST)));
    connection.send(last.as_bytes()).await?;
    connection.send(b"0\r\n\r\n").await
}

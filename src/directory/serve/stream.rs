//! DNS over TCP: messages with their length in front, one after the other on each connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rand::{SeedableRng as _, rngs::SmallRng};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{Desk, PAUSE};
use crate::directory::zone::Transport;
use crate::drain::Stage;

/// How long a connection may rest between two questions, and how long one question or answer may take.
const IDLE: Duration = Duration::from_secs(10);

impl Desk {
    /// Answers connections until the house ends.
    pub(super) async fn connections(
        mut self,
        listener: TcpListener,
        turns: Arc<Semaphore>,
        mut chance: SmallRng,
    ) {
        let mut open = JoinSet::new();
        let desk = self.clone();
        loop {
            let accept = async {
                let turn = Arc::clone(&turns).acquire_owned().await.map_err(io::Error::other)?;
                Ok::<_, io::Error>((listener.accept().await?.0, turn))
            };
            let accepted = tokio::select! {
                accepted = accept => accepted,
                Some(_) = open.join_next() => continue,
                () = self.drain.past(Stage::Fading) => break,
            };
            match accepted {
                Ok((stream, turn)) => {
                    let (desk, chance) = (desk.clone(), SmallRng::from_rng(&mut chance));
                    open.spawn(async move {
                        let _turn = turn;
                        desk.connection(stream, chance).await;
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "Accepting failed");
                    sleep(PAUSE).await;
                }
            }
        }
        drop(listener);
        while open.join_next().await.is_some() {}
    }

    /// Answers the questions of one connection, until its other end has no more, breaks the rules, or the house ends.
    async fn connection(self, mut stream: TcpStream, mut chance: SmallRng) {
        let mut end = self.drain.clone();
        loop {
            let question = tokio::select! {
                question = timeout(IDLE, read(&mut stream)) => question,
                () = end.past(Stage::Fading) => return,
            };
            let Ok(Ok(question)) = question else { return };
            let _busy = self.drain.busy();
            // What is no question is somebody who speaks something else.
            let Some(answer) = self.answer(&question, Transport::Tcp, &mut chance) else { return };
            match timeout(IDLE, write(&mut stream, &answer)).await {
                Ok(Ok(())) => {}
                _ => return,
            }
        }
    }
}

async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = Vec::new();
    // Grows with what comes, not with what is announced.
    stream.take(length.into()).read_to_end(&mut message).await?;
    if message.len() < usize::from(length) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(message)
}

async fn write(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    // In one piece: some readers take the length for the whole when it comes alone.
    let mut whole = Vec::with_capacity(message.len() + 2);
    whole.extend_from_slice(&length.to_be_bytes());
    whole.extend_from_slice(message);
    stream.write_all(&whole).await
}

//! DNS over TCP: messages with their length in front, one after the other on each connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rand::{SeedableRng as _, rngs::SmallRng};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{Desk, Guests, PAUSE};
use crate::directory::zone::Transport;
use crate::drain::Stage;

/// How long a connection may rest between two questions, and how long one question or answer may take.
const IDLE: Duration = Duration::from_secs(10);
/// How long questions are taken on one connection. Who has more makes another, and waits behind those who wait already.
const STAY: Duration = Duration::from_mins(2);

impl Desk {
    /// Answers connections until the house ends.
    pub(super) async fn connections(mut self, listener: TcpListener, guests: Guests, mut chance: SmallRng) {
        let mut open = JoinSet::new();
        let desk = self.clone();
        loop {
            let accept = async {
                let turn = Arc::clone(&guests.turns).acquire_owned().await.map_err(io::Error::other)?;
                Ok::<_, io::Error>((listener.accept().await?, turn))
            };
            let accepted = tokio::select! {
                accepted = accept => accepted,
                Some(_) = open.join_next() => continue,
                () = self.drain.past(Stage::Fading) => break,
            };
            match accepted {
                Ok(((stream, asker), turn)) => {
                    let Some(place) = guests.crowd.enter(asker.ip(), || ()) else {
                        tracing::debug!(%asker, "Too many DNS connections from one address");
                        continue;
                    };
                    let (desk, chance) = (desk.clone(), SmallRng::from_rng(&mut chance));
                    open.spawn(async move {
                        // Dropped in this order: whoever gets the turn finds a place.
                        let _kept = (place, turn);
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

    /// Answers the questions of one connection, until its other end has no more, stays for too long or breaks the rules, or
    /// the house ends.
    async fn connection(self, mut stream: impl AsyncRead + AsyncWrite + Unpin, mut chance: SmallRng) {
        let mut end = self.drain.clone();
        let last = Instant::now() + STAY;
        loop {
            let until = last.min(Instant::now() + IDLE);
            let question = tokio::select! {
                question = timeout_at(until, read(&mut stream)) => question,
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

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = Vec::new();
    // Grows with what comes, not with what is announced.
    stream.take(length.into()).read_to_end(&mut message).await?;
    if message.len() < usize::from(length) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(message)
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    // In one piece: some readers take the length for the whole when it comes alone.
    let mut whole = Vec::with_capacity(message.len() + 2);
    whole.extend_from_slice(&length.to_be_bytes());
    whole.extend_from_slice(message);
    stream.write_all(&whole).await
}

#[cfg(test)]
mod tests {
    use arc_swap::ArcSwap;
    use tokio::io::duplex;

    use super::super::{Metrics, Settings, Zone};
    use super::*;
    use crate::directory::Snapshot;
    use crate::drain::drain;
    use crate::task;

    #[tokio::test(start_paused = true)]
    async fn who_always_has_another_question_leaves_in_the_end() {
        let settings = Settings::new("a2a.cluster.local", "east", "east.example").unwrap();
        let zone = Arc::new(ArcSwap::from_pointee(Zone::new(&Snapshot::default(), settings, 1)));
        let (_trigger, drain) = drain();
        let desk = Desk { zone, drain, metrics: Metrics::default() };
        let (mut asker, answerer) = duplex(1 << 16);
        let connection = task::spawn(desk.connection(answerer, SmallRng::seed_from_u64(1)));
        let started = Instant::now();
        // A header without a question is a question that is answered: FORMERR.
        let question = [0; 12];
        while write(&mut asker, &question).await.is_ok() && read(&mut asker).await.is_ok() {
            sleep(IDLE - Duration::from_secs(1)).await;
            assert!(started.elapsed() < 2 * STAY, "it stays for ever");
        }
        connection.await.unwrap();
        assert!(started.elapsed() >= STAY, "a question was not answered");
        assert!(started.elapsed() < STAY + IDLE, "{:?}", started.elapsed());
    }
}

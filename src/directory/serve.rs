//! The directory's DNS server: the latest zone, over UDP and TCP.
//!
//! Datagrams are answered one after the other by one task for each socket: an answer takes microseconds, and what comes
//! faster waits in the socket or is dropped there, where nobody pays for it. Connections are few: only long answers need
//! them, and none stays for long. There is no limit on the rate of a source: most questions of a cluster come from the two
//! or three addresses of its DNS, which such a limit would hit first. What a forged source can bring about is bounded by the
//! size of an answer, 1232 bytes.

mod metrics;
mod sockets;
mod stream;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rand::{SeedableRng as _, rngs::SmallRng};
use tokio::net::UdpSocket;
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

pub use self::metrics::Metrics;
pub use self::sockets::Sockets;
use super::Snapshot;
use super::zone::{Settings, Transport, Zone, respond};
use crate::drain::{Drain, Stage};
use crate::identity::Clock;
use crate::net::crowd::{Crowd, Places};
use crate::task;

/// How long changes are gathered before the zone is made anew: far less than anybody keeps an answer.
const SETTLE: Duration = Duration::from_millis(100);
/// How long to wait after a socket's error, so that one that lasts does not keep the processor busy.
const PAUSE: Duration = Duration::from_millis(50);
/// The most connections at once, and those from one address. Of all, more wait until one ends; of one address, more are
/// closed. A quarter is left to one because most long answers go through the two or three addresses of the cluster's DNS.
const PLACES: Places = Places { all: 256, each: 64 };
/// The longest question over UDP that is looked at. A longer one is cut, and then refused as broken.
const QUESTION_MAX: usize = 4096;

/// What a server is made of.
#[derive(Debug)]
pub struct Dns {
    /// What the zone is called.
    pub settings: Settings,
    /// What it tells of.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// When to end.
    pub drain: Drain,
    /// The time gives the zone's first serial number, so that it grows over a restart too.
    pub clock: Clock,
    /// Decides which addresses come first.
    pub seed: u64,
    /// What is counted.
    pub metrics: Metrics,
}

/// What everybody who answers needs.
#[derive(Clone, Debug)]
struct Desk {
    zone: Arc<ArcSwap<Zone>>,
    drain: Drain,
    metrics: Metrics,
}

/// The connections that are open, on all listeners.
#[derive(Clone, Debug)]
struct Guests {
    turns: Arc<Semaphore>,
    crowd: Crowd,
}

impl Dns {
    /// Makes the first zone and answers from then on, until the house ends or the tasks are dropped. What a snapshot does not
    /// know yet is answered with SERVFAIL, so that nobody takes it for the truth.
    ///
    /// # Errors
    /// If the process is ending.
    pub async fn start(mut self, sockets: Sockets) -> io::Result<Vec<AbortOnDropHandle<()>>> {
        let serial = serial(&self.clock);
        let zone = Arc::new(ArcSwap::from(build(&mut self.snapshots, &self.settings, serial).await?));
        let desk = Desk { zone: Arc::clone(&zone), drain: self.drain, metrics: self.metrics };
        let mut seeds = SmallRng::seed_from_u64(self.seed);
        let mut tasks = vec![task::spawn(renew(zone, self.snapshots, self.settings, serial))];
        for socket in sockets.udp {
            tasks.push(task::spawn(desk.clone().datagrams(socket, SmallRng::from_rng(&mut seeds))));
        }
        let guests = Guests { turns: Arc::new(Semaphore::new(PLACES.all)), crowd: Crowd::new(PLACES) };
        for listener in sockets.tcp {
            let chance = SmallRng::from_rng(&mut seeds);
            tasks.push(task::spawn(desk.clone().connections(listener, guests.clone(), chance)));
        }
        Ok(tasks)
    }
}

impl Desk {
    /// Answers datagrams until the house ends.
    async fn datagrams(mut self, socket: UdpSocket, mut chance: SmallRng) {
        let mut question = vec![0; QUESTION_MAX];
        loop {
            let received = tokio::select! {
                received = socket.recv_from(&mut question) => received,
                () = self.drain.past(Stage::Fading) => return,
            };
            let sent = match received {
                Ok((length, asker)) => {
                    let question = question.get(..length).unwrap_or_default();
                    match self.answer(question, Transport::Udp, &mut chance) {
                        Some(answer) => socket.send_to(&answer, asker).await.map(drop),
                        None => Ok(()),
                    }
                }
                Err(error) => {
                    sleep(PAUSE).await;
                    Err(error)
                }
            };
            if let Err(error) = sent {
                tracing::debug!(%error, "A DNS datagram was lost");
            }
        }
    }

    fn answer(&self, question: &[u8], transport: Transport, chance: &mut SmallRng) -> Option<Vec<u8>> {
        let reply = respond(&self.zone.load(), question, transport, chance);
        self.metrics.answered(reply.as_ref());
        reply.map(|reply| reply.bytes)
    }
}

/// Makes the zone anew whenever the snapshot changes, though not for each change of many.
async fn renew(
    zone: Arc<ArcSwap<Zone>>,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    settings: Settings,
    mut serial: u32,
) {
    while snapshots.changed().await.is_ok() {
        sleep(SETTLE).await;
        serial = serial.wrapping_add(1);
        match build(&mut snapshots, &settings, serial).await {
            Ok(next) => zone.store(next),
            Err(error) => tracing::warn!(%error, "The zone cannot be made"),
        }
    }
}

/// Makes a zone of the latest snapshot, off the threads that answer.
async fn build(
    snapshots: &mut watch::Receiver<Arc<Snapshot>>,
    settings: &Settings,
    serial: u32,
) -> io::Result<Arc<Zone>> {
    let snapshot = Arc::clone(&snapshots.borrow_and_update());
    let settings = settings.clone();
    Ok(tokio::task::spawn_blocking(move || Arc::new(Zone::new(&snapshot, settings, serial))).await?)
}

/// Seconds, of which DNS keeps the lower half (RFC 1982).
fn serial(clock: &Clock) -> u32 {
    u32::try_from(clock.now().rem_euclid(1 << 32)).unwrap_or_default()
}

//! A sidecar under test: where it listens, and what it takes of the machine.

use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::process::Process;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// A sidecar that runs as long as the value.
pub(crate) struct Sidecar {
    pub(crate) outbound: SocketAddr,
    /// Where peers reach it on this machine; the port alone counts.
    pub(crate) inbound: Option<SocketAddr>,
    process: Process,
}

/// What a sidecar held at one moment, and what it had used until then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// Its own memory in KiB: pages of no file.
    pub(crate) own: f64,
    /// All resident memory in KiB.
    pub(crate) resident: f64,
    /// Open files, nearly all of them sockets.
    pub(crate) sockets: usize,
    pub(crate) cpu: Duration,
    pub(crate) at: Instant,
}

impl Sidecar {
    pub(crate) fn new((process, addresses): (Process, Value)) -> Result<Self> {
        let address = |door: &str| addresses[door].as_str().map(str::parse).transpose();
        Ok(Self {
            outbound: address("outbound")?.ok_or("no outbound listener")?,
            inbound: address("inbound")?,
            process,
        })
    }

    pub(crate) fn reading(&self) -> Result<Reading> {
        let id = self.process.id()?;
        // Unlike the kernel's quick counters it is exact.
        let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
        let kibibytes = |field: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(field));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            number.ok_or_else(|| format!("no {field} in smaps_rollup"))
        };
        Ok(Reading {
            own: kibibytes("Anonymous:")?,
            resident: kibibytes("Rss:")?,
            sockets: fs::read_dir(format!("/proc/{id}/fd"))?.count(),
            cpu: self.process.cpu()?,
            at: Instant::now(),
        })
    }
}

impl Reading {
    /// How much more own memory than `before`, in KiB for each of so many.
    pub(crate) fn each(&self, before: &Self, units: usize) -> f64 {
        (self.own - before.own) / units as f64
    }

    /// The processor time since `before`, in microseconds.
    pub(crate) fn microseconds(&self, before: &Self) -> f64 {
        self.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6
    }
}

/// The processor time that sidecars take while nothing is asked of them, in microseconds a second.
pub(crate) async fn idle<const N: usize>(sidecars: [&Sidecar; N], window: Duration) -> Result<[f64; N]> {
    let readings = || -> Result<Vec<Reading>> { sidecars.iter().map(|sidecar| sidecar.reading()).collect() };
    let before = readings()?;
    sleep(window).await;
    let mut rates = [0.0; N];
    for ((rate, after), before) in rates.iter_mut().zip(readings()?).zip(before) {
        *rate = after.microseconds(&before) / (after.at - before.at).as_secs_f64();
    }
    Ok(rates)
}

//! The cases: what there may be more of, and how much more a sidecar takes for each.

pub(crate) mod callers;
pub(crate) mod connections;
pub(crate) mod endpoints;
pub(crate) mod names;
pub(crate) mod peers;
pub(crate) mod rest;
pub(crate) mod streams;

use std::time::Duration;

use super::report::{Table, figure, none};

/// How many of what, from few to many, and for how long to look on.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    pub(crate) streams: [usize; 2],
    pub(crate) names: [usize; 3],
    /// Endpoints of one agent, with the number of agents that have so many.
    pub(crate) endpoints: &'static [(usize, usize)],
    pub(crate) connections: [usize; 2],
    pub(crate) peers: [usize; 2],
    pub(crate) callers: &'static [usize],
    /// How long a sidecar is left alone before its memory is read.
    pub(crate) rest: Duration,
    /// How long idle processor time is counted: whole periods of what a stream does every four seconds.
    pub(crate) idle: Duration,
    /// The same for lookups, of which each name has one in about five seconds.
    pub(crate) lookups: Duration,
    /// The same for what a connection between peers does every twenty seconds.
    pub(crate) pings: Option<Duration>,
    /// How long calls are made.
    pub(crate) load: Duration,
}

pub(crate) const WHOLE: Pace = Pace {
    streams: [1_000, 10_000],
    names: [100, 1_000, 10_000],
    endpoints: &[(1, 200), (10, 200), (100, 50), (1_000, 5)],
    connections: [1_000, 10_000],
    peers: [100, 1_000],
    callers: &[10, 100, 1_000],
    rest: Duration::from_secs(2),
    idle: Duration::from_secs(8),
    lookups: Duration::from_secs(10),
    pings: Some(Duration::from_secs(20)),
    load: Duration::from_secs(2),
};

pub(crate) const QUICK: Pace = Pace {
    streams: [100, 400],
    names: [20, 100, 500],
    endpoints: &[(1, 20), (100, 5)],
    connections: [100, 400],
    peers: [10, 100],
    callers: &[10, 100],
    rest: Duration::from_millis(300),
    idle: Duration::from_secs(4),
    lookups: Duration::from_secs(5),
    pings: None,
    load: Duration::from_millis(500),
};

impl Pace {
    /// Holds no more at once than a process may have sockets.
    pub(crate) fn hold_within(&mut self, sockets: usize) {
        for counts in [&mut self.streams, &mut self.connections, &mut self.peers] {
            for count in counts {
                *count = (*count).min(sockets);
            }
        }
    }
}

/// The table of what one more of each kind costs.
pub(crate) fn units() -> Table {
    Table::new(&["one more", "caller, KiB", "callee, KiB", "caller, µs/s", "callee, µs/s"])
}

/// What one more costs the two sidecars.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unit {
    /// Memory in KiB, caller and callee.
    pub(crate) memory: [Option<f64>; 2],
    /// Processor time in microseconds a second.
    pub(crate) cpu: [Option<f64>; 2],
}

impl Unit {
    pub(crate) fn note(self, table: &mut Table, what: &str) {
        let cell = |value: Option<f64>| value.map_or_else(none, figure);
        let [[caller, callee], [caller_cpu, callee_cpu]] = [self.memory.map(cell), self.cpu.map(cell)];
        table.row([what.to_owned(), caller, callee, caller_cpu, callee_cpu]);
    }
}

//! What is measured: each case on all lanes in turns, round after round, so that what disturbs one lane disturbs all.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::load::{Order, Outcome};
use super::message::Question;
use super::process::Process;
use super::stage::{Lane, Stage};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// The bytes of a body with a file.
const FILE: usize = 4 << 20;

/// A kind of call, and how many at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Case {
    question: Question,
    connections: usize,
}

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) rounds: usize,
    pub(crate) warm_up: Duration,
    pub(crate) window: Duration,
}

/// What one lane showed in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    /// Calls in a second.
    pub(crate) rate: f64,
    /// Latencies, in microseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Processor time of everything between load and agent, in microseconds a call.
    pub(crate) cpu: f64,
    /// The part of a core that the load took.
    pub(crate) load: f64,
    pub(crate) failed: usize,
}

/// The rounds of a case, lane by lane.
pub(crate) struct Measured {
    pub(crate) lanes: Vec<Vec<Figures>>,
}

/// The cases of a whole run.
pub(crate) fn whole() -> Vec<Case> {
    let bodies = [200, 1 << 10, 64 << 10, FILE].map(|body| Question { body, events: 0 });
    let streams = [20, 100].map(|events| Question { body: 1 << 10, events });
    let cases = |question: Question| {
        // More files at once than `limits.buffered` holds would measure how they are refused.
        let connections = if question.body == FILE { [1, 4, 16] } else { [1, 16, 64] };
        connections.map(|connections| Case { question, connections })
    };
    bodies.into_iter().chain(streams).flat_map(cases).collect()
}

/// The cases of a quick one.
pub(crate) fn quick() -> Vec<Case> {
    let unary = Question { body: 1 << 10, events: 0 };
    let stream = Question { events: 20, ..unary };
    [(unary, 1), (unary, 16), (stream, 1)]
        .map(|(question, connections)| Case { question, connections })
        .to_vec()
}

impl Case {
    /// Whether its name has these words.
    pub(crate) fn has(self, words: &str) -> bool {
        format!(" {self} ").contains(&format!(" {words} "))
    }

    /// Measures the case on all lanes.
    pub(crate) async fn measure(self, stage: &Stage, pace: Pace) -> Result<Measured> {
        let mut lanes = vec![Vec::new(); stage.lanes.len()];
        for round in 0..pace.rounds {
            // Each lane goes first in turn.
            for turn in 0..lanes.len() {
                let index = (round + turn) % lanes.len();
                lanes[index].push(self.figures(&stage.lanes[index], pace).await?);
            }
        }
        Ok(Measured { lanes })
    }

    async fn figures(self, lane: &Lane, pace: Pace) -> Result<Figures> {
        let order = Order {
            address: lane.address,
            path: lane.path.to_owned(),
            body: self.question.body,
            events: self.question.events,
            connections: self.connections,
            warm_up: pace.warm_up,
            window: pace.window,
        };
        let mut load = Process::role("load", &[&serde_json::to_string(&order)?])?;
        load.line().await?;
        let before = lane.cpu()?;
        load.say("go").await?;
        let outcome: Outcome = serde_json::from_str(&load.line().await?)?;
        let cpu = lane.cpu()?.saturating_sub(before);
        let microseconds = |time: Duration| time.as_secs_f64() * 1e6;
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53 calls")]
        let (calls, all) = (outcome.calls as f64, (outcome.calls + outcome.failed) as f64);
        Ok(Figures {
            rate: calls / outcome.took.as_secs_f64(),
            p50: microseconds(outcome.p50),
            p99: microseconds(outcome.p99),
            cpu: microseconds(cpu) / all,
            load: outcome.cpu.as_secs_f64() / outcome.took.as_secs_f64(),
            failed: outcome.failed,
        })
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.question {
            Question { events: 0, body } if body >= 1 << 20 => write!(f, "{} MB", body >> 20)?,
            Question { events: 0, body } if body >= 1 << 10 => write!(f, "{} KB", body >> 10)?,
            Question { events: 0, body } => write!(f, "{body} B")?,
            Question { events, .. } => write!(f, "{events} events")?,
        }
        write!(f, " × {}", self.connections)
    }
}

//! Timing: things that are compared take turns, so that what disturbs one disturbs all.

use std::time::Duration;

use tokio::time::Instant;

/// How long one turn lasts at least.
const TURN: Duration = Duration::from_millis(8);

/// Something to be timed.
pub(crate) struct Subject<'s> {
    work: Box<dyn FnMut() + 's>,
    /// How often it runs in one turn.
    times: u32,
    /// Nanoseconds of one run, a value for each turn.
    turns: Vec<f64>,
}

impl<'s> Subject<'s> {
    /// Times `work`, which keeps the compiler from leaving it out.
    pub(crate) fn new(work: impl FnMut() + 's) -> Self {
        Self { work: Box::new(work), times: 1, turns: Vec::new() }
    }

    /// Finds out how often to run in a turn, which warms up too.
    fn calibrate(&mut self) {
        while self.turn() < TURN {
            self.times *= 2;
        }
    }

    fn turn(&mut self) -> Duration {
        let began = Instant::now();
        for _ in 0..self.times {
            (self.work)();
        }
        began.elapsed()
    }

    /// The median of all turns, in nanoseconds of one run.
    fn median(&mut self) -> f64 {
        self.turns.sort_by(f64::total_cmp);
        self.turns.get(self.turns.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// Runs all in turns for so many rounds; the nanoseconds of each.
pub(crate) fn compare<const N: usize>(mut subjects: [Subject<'_>; N], rounds: usize) -> [f64; N] {
    for subject in &mut subjects {
        subject.calibrate();
    }
    for _ in 0..rounds {
        for subject in &mut subjects {
            let turn = subject.turn();
            subject.turns.push(turn.as_secs_f64() * 1e9 / f64::from(subject.times));
        }
    }
    subjects.map(|mut subject| subject.median())
}

//! The soak: mixed calls for a long time, and whether the memory of the sidecars grows meanwhile.

use std::error::Error;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::mix::Done;
use super::process::Process;
use super::report::{count, mebibytes};
use super::stage::Stage;

/// How long, and how often the sidecars are looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Soak {
    time: Duration,
    every: Duration,
}

pub(crate) const QUICK: Soak = Soak { time: Duration::from_secs(2), every: Duration::from_millis(250) };

impl Soak {
    pub(crate) fn of_minutes(minutes: u64) -> Self {
        Self { time: Duration::from_mins(minutes), every: Duration::from_secs(10) }
    }
}

/// Prints a line for each look, and how fast memory grew over the last two thirds of the time.
pub(crate) async fn run(stage: &Stage<'_>, soak: Soak) -> Result<(), Box<dyn Error>> {
    println!("soak, {} s", soak.time.as_secs());
    let (caller, callee) = stage.pair().await?;
    let mut mix = Process::role("mix", &[&caller.outbound.to_string()])?;
    let began = Instant::now();
    let mut samples = Vec::new();
    let mut done = Done::default();
    while began.elapsed() < soak.time {
        sleep(soak.every).await;
        mix.say("").await?;
        done = serde_json::from_str(&mix.line().await?)?;
        let (minutes, readings) =
            (began.elapsed().as_secs_f64() / 60.0, [caller.reading()?, callee.reading()?]);
        println!(
            "  {minutes:6.2} min: caller {} (own {}, {} sockets), callee {} (own {}, {} sockets), {} calls, {} wrong",
            mebibytes(readings[0].resident),
            mebibytes(readings[0].own),
            readings[0].sockets,
            mebibytes(readings[1].resident),
            mebibytes(readings[1].own),
            readings[1].sockets,
            count(done.calls),
            done.wrong
        );
        samples.push((minutes, readings));
    }
    let late: Vec<_> = samples.split_off(samples.len() / 3);
    for (index, name) in ["caller", "callee"].into_iter().enumerate() {
        let resident = slope(late.iter().map(|(minutes, readings)| (*minutes, readings[index].resident)));
        let own = slope(late.iter().map(|(minutes, readings)| (*minutes, readings[index].own)));
        println!(
            "  {name}: {resident:+.1} KiB a minute resident, {own:+.1} of its own, over the last two thirds"
        );
    }
    if done.wrong > 0 { Err(format!("{} calls went wrong", done.wrong).into()) } else { Ok(()) }
}

/// The slope of the line that fits best (least squares).
fn slope(points: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let number = points.clone().count() as f64;
    let mean = |of: fn((f64, f64)) -> f64| points.clone().map(of).sum::<f64>() / number;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let along: f64 = points.clone().map(|point| (point.0 - x) * (point.1 - y)).sum();
    along / points.map(|point| (point.0 - x).powi(2)).sum::<f64>()
}

//! Connections from the local agent that have called once and rest.

use std::error::Error;

use tokio::time::sleep;

use super::{Pace, Unit};
use crate::report::{Table, count, figure, mebibytes};
use crate::sidecar::idle;
use crate::stage::{Crowd, Stage};

const WARM_UP: usize = 50;

/// Adds what one more connection to the outbound listener takes.
pub(crate) async fn measure(stage: &Stage<'_>, pace: &Pace, units: &mut Table) -> Result<(), Box<dyn Error>> {
    let (caller, callee) = stage.pair().await?;
    let mut crowd = Crowd::of(&caller)?;
    crowd.rest(WARM_UP).await?;
    crowd.leave([&caller, &callee], WARM_UP).await?;
    let mut steps = Vec::new();
    let [few, many] = pace.connections;
    for (more, now) in [(few, few), (many - few, many)] {
        crowd.rest(more).await?;
        sleep(pace.rest).await;
        let reading = caller.reading()?;
        println!("  {} connections: {} ({} sockets)", count(now), mebibytes(reading.own), reading.sockets);
        steps.push(reading);
    }
    let [cpu] = idle([&caller], pace.idle / 4).await?;
    println!("  with nothing to do: {} µs/s ({} sockets)", figure(cpu), caller.reading()?.sockets);
    if let [at_few, at_many] = &steps[..] {
        let memory = [Some(at_many.each(at_few, at_many.sockets - at_few.sockets)), None];
        let unit = Unit { memory, cpu: [Some(cpu / at_many.sockets as f64), None] };
        unit.note(units, "idle connection from the agent");
    }
    Ok(())
}

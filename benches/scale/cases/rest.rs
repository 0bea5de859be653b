//! A sidecar at rest: what each pod pays for having one.

use std::error::Error;

use tokio::time::sleep;

use super::{Pace, Unit};
use crate::report::{Table, figure, mebibytes};
use crate::sidecar::idle;
use crate::stage::Stage;

/// Adds what a whole sidecar takes that has nothing to do.
pub(crate) async fn measure(stage: &Stage<'_>, pace: &Pace, units: &mut Table) -> Result<(), Box<dyn Error>> {
    let (caller, callee) = stage.pair().await?;
    sleep(pace.rest).await;
    let readings = [caller.reading()?, callee.reading()?];
    let cpu = idle([&caller, &callee], pace.pings.unwrap_or(pace.rest)).await?;
    for (name, (reading, cpu)) in ["caller", "callee"].into_iter().zip(readings.iter().zip(cpu)) {
        println!(
            "  {name}: {} resident, {} of it its own; {} µs/s",
            mebibytes(reading.resident),
            mebibytes(reading.own),
            figure(cpu)
        );
    }
    let unit = Unit { memory: readings.map(|reading| Some(reading.own)), cpu: cpu.map(Some) };
    unit.note(units, "sidecar at rest");
    Ok(())
}

//! Streams that are open and silent: an agent has sent its first event and is at work.

use std::error::Error;

use tokio::time::sleep;

use super::{Pace, Unit};
use crate::report::{Table, count, figure, mebibytes};
use crate::sidecar::{Reading, Sidecar, idle};
use crate::stage::{Crowd, Stage};

/// How many streams there were before anything is counted.
const WARM_UP: usize = 50;

/// Adds what one more stream takes, and shows what stays once all are closed.
pub(crate) async fn measure(stage: &Stage<'_>, pace: &Pace, units: &mut Table) -> Result<(), Box<dyn Error>> {
    let (caller, callee) = stage.pair().await?;
    let both = [&caller, &callee];
    let mut crowd = Crowd::of(&caller)?;
    crowd.stream(WARM_UP).await?;
    crowd.leave(both, WARM_UP / 2).await?;
    sleep(pace.rest).await;
    let before = [caller.reading()?, callee.reading()?];
    let mut steps = Vec::new();
    let [few, many] = pace.streams;
    for (more, now) in [(few, few), (many - few, many)] {
        crowd.stream(more).await?;
        sleep(pace.rest).await;
        steps.push(tell(both, &format!("{} streams", count(now)))?);
    }
    let cpu = idle(both, pace.idle).await?;
    println!("  with nothing to say: caller {} µs/s, callee {} µs/s", figure(cpu[0]), figure(cpu[1]));
    // What stays may be of use to the next streams, or is lost.
    for _ in 0..2 {
        crowd.leave(both, WARM_UP / 2).await?;
        sleep(pace.rest).await;
        steps.push(tell(both, "all closed")?);
        crowd.stream(many).await?;
        sleep(pace.rest).await;
        steps.push(tell(both, &format!("{} streams again", count(many)))?);
    }
    if let [at_few, at_many, closed, .., last] = &steps[..] {
        let unit = Unit {
            memory: [0, 1].map(|index| Some(at_many[index].each(&at_few[index], many - few))),
            // A sidecar without streams takes next to nothing.
            cpu: cpu.map(|cpu| Some(cpu / many as f64)),
        };
        unit.note(units, "open, silent stream");
        let memory = [0, 1].map(|index| Some(last[index].each(&before[index], many)));
        Unit { memory, ..Unit::default() }.note(units, "the same after as many had come and gone twice");
        let memory = [0, 1].map(|index| Some(closed[index].each(&before[index], many)));
        Unit { memory, ..Unit::default() }.note(units, "what stays of a stream that was closed");
    }
    Ok(())
}

fn tell(sidecars: [&Sidecar; 2], when: &str) -> Result<[Reading; 2], Box<dyn Error>> {
    let [caller, callee] = [sidecars[0].reading()?, sidecars[1].reading()?];
    println!(
        "  {when}: caller {} ({} sockets), callee {} ({} sockets)",
        mebibytes(caller.own),
        caller.sockets,
        mebibytes(callee.own),
        callee.sockets
    );
    Ok([caller, callee])
}

//! Connections between peers: each is TLS and HTTP/2, at both ends.

use std::error::Error;

use serde_json::json;
use tokio::time::sleep;

use super::{Pace, Unit};
use crate::crowd::Order;
use crate::report::{Table, count, figure, mebibytes};
use crate::sidecar::idle;
use crate::stage::{Crowd, Stage, port, replicas};

/// How many calls per endpoint make it likely that all have been called.
const UNTIL_ALL: usize = 10;

/// Adds what one more connection to a peer takes, and from one.
pub(crate) async fn measure(stage: &Stage<'_>, pace: &Pace, units: &mut Table) -> Result<(), Box<dyn Error>> {
    let callee = stage.callee(&["few", "many"]).await?;
    let port = port(&callee)?;
    let [few, many] = pace.peers;
    // Each address of a name has a connection of its own.
    let known = json!({"few.lab": replicas(port, few), "many.lab": replicas(port, many)});
    let caller = stage.caller(known, port).await?;
    let both = [&caller, &callee];
    let mut crowd = Crowd::of(&caller)?;
    let mut steps = Vec::new();
    for (path, peers) in [("/agents/few.lab", few), ("/agents/many.lab", many)] {
        let order = Order::CallOften { path: path.to_owned(), calls: UNTIL_ALL * peers };
        crowd.order(&order).await?;
        sleep(pace.rest).await;
        let readings = [caller.reading()?, callee.reading()?];
        println!(
            "  {} connections: caller {}, callee {}",
            count(readings[0].sockets),
            mebibytes(readings[0].own),
            mebibytes(readings[1].own)
        );
        steps.push(readings);
    }
    let mut cpu = [None; 2];
    if let Some(window) = pace.pings {
        let all = idle(both, window).await?;
        println!("  with nothing to say: caller {} µs/s, callee {} µs/s", figure(all[0]), figure(all[1]));
        // A sidecar without connections takes next to nothing.
        cpu = all.map(|cpu| Some(cpu / (few + many) as f64));
    }
    if let [at_few, at_many] = &steps[..] {
        let more = at_many[0].sockets - at_few[0].sockets;
        let unit = Unit { memory: [0, 1].map(|index| Some(at_many[index].each(&at_few[index], more))), cpu };
        unit.note(units, "connection between peers");
    }
    Ok(())
}

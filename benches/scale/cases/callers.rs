//! Many callers of one agent, each with a connection of its own and a call under way at all times.

use std::error::Error;
use std::time::Duration;

use super::Pace;
use super::endpoints::under_load;
use crate::load::Order;
use crate::report::{Table, count, figure, mebibytes};
use crate::stage::{CALLEE, Stage};

/// The costs by number of callers.
pub(crate) async fn measure(stage: &Stage<'_>, pace: &Pace) -> Result<Table, Box<dyn Error>> {
    let (caller, callee) = stage.pair().await?;
    let mut table =
        Table::new(&["callers", "calls/s", "p50", "p99", "CPU of a call, both", "caller", "callee"]);
    for callers in pace.callers {
        let order = Order {
            address: caller.outbound,
            path: CALLEE.to_owned(),
            body: 1 << 10,
            events: 0,
            connections: *callers,
            warm_up: pace.load / 4,
            window: pace.load,
        };
        let (outcome, before, after) = under_load([&caller, &callee], &order).await?;
        if outcome.failed > 0 {
            return Err(format!("{} calls failed", outcome.failed).into());
        }
        let calls = outcome.calls as f64;
        let cpu: f64 = after.iter().zip(before).map(|(after, before)| after.microseconds(&before)).sum();
        let milliseconds = |time: Duration| format!("{} ms", figure(time.as_secs_f64() * 1e3));
        let row = [
            count(*callers),
            figure(calls / outcome.took.as_secs_f64()),
            milliseconds(outcome.p50),
            milliseconds(outcome.p99),
            format!("{} µs", figure(cpu / calls)),
            mebibytes(after[0].own),
            mebibytes(after[1].own),
        ];
        println!("  {}", row.join(", "));
        table.row(row);
    }
    Ok(table)
}

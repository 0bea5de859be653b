//! Agents that are in use. Their endpoints refuse connections, so that what is measured is the name: its place in the
//! table, its balancer, and its lookups. A connection to it comes on top: see [`super::peers`].

use std::error::Error;

use serde_json::json;
use tokio::time::sleep;

use super::{Pace, Unit};
use crate::crowd::Order;
use crate::report::{Table, count, figure, mebibytes};
use crate::stage::{Crowd, Stage};

/// The mean time between two lookups of a name whose answers hold for 30 seconds and for 5, in seconds: a jitter takes a
/// tenth off.
const EVERY: [(&str, f64); 2] = [("30 s", 27.0), ("5 s", 4.5)];

/// Adds what one more name takes.
pub(crate) async fn measure(stage: &Stage<'_>, pace: &Pace, units: &mut Table) -> Result<(), Box<dyn Error>> {
    let deaf = stage.deaf(1)?;
    for number in 0..pace.names.iter().copied().max().unwrap_or_default() {
        stage.dns.announce(&format!("n-{number}"), &deaf)?;
    }
    let caller = stage.caller(json!({}), deaf[0].port()).await?;
    let mut crowd = Crowd::of(&caller)?;
    let mut known = 0;
    let mut readings = Vec::new();
    for names in pace.names {
        let order = Order::CallEach { prefix: "/agents/n-".to_owned(), numbers: known..names };
        let outcome = crowd.try_order(&order).await?;
        if outcome.good > 0 {
            return Err("an endpoint that refuses connections has answered".into());
        }
        known = names;
        sleep(pace.rest).await;
        let reading = caller.reading()?;
        println!("  {} names: {}", count(names), mebibytes(reading.own));
        readings.push((names, reading));
    }
    let (asked, before) = (stage.dns.questions("n"), caller.reading()?);
    sleep(pace.lookups).await;
    let after = caller.reading()?;
    let now = stage.dns.questions("n");
    let (lookups, questions) = ((now.lookups - asked.lookups) as f64, now.udp - asked.udp);
    let lookup = after.microseconds(&before) / lookups;
    println!(
        "  {} names at rest: {} lookups/s of {} questions and {} µs each; {}",
        count(known),
        figure(lookups / pace.lookups.as_secs_f64()),
        figure(questions as f64 / lookups),
        figure(lookup),
        mebibytes(after.own)
    );
    if let [.., (few, at_few), (many, at_many)] = &readings[..] {
        for (ttl, seconds) in EVERY {
            let memory = [Some(at_many.each(at_few, many - few)), None];
            let unit = Unit { memory, cpu: [Some(lookup / seconds), None] };
            unit.note(units, &format!("name in use, TTL {ttl}"));
        }
    }
    Ok(())
}

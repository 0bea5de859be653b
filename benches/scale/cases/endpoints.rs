//! Agents with many endpoints: what it takes to know them, to keep knowing them, and to choose among them.

use std::error::Error;
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::Pace;
use crate::crowd::Order;
use crate::load;
use crate::process::Process;
use crate::report::{Table, count, figure};
use crate::sidecar::{Reading, Sidecar};
use crate::stage::{Crowd, Stage, port, replicas};

/// How many callers share the endpoints.
const CALLERS: usize = 4;
/// How many calls per endpoint make it likely that all have been called.
const UNTIL_ALL: usize = 10;
const CALLS_LEAST: usize = 500;
/// How many other agents are called before anything is counted.
const WARM_UP: usize = 100;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What it takes to know an agent.
struct Known {
    /// Memory of each agent, in KiB.
    memory: f64,
    /// Processor time of a lookup in microseconds, and its questions over UDP and TCP.
    cpu: f64,
    udp: f64,
    tcp: f64,
}

/// The costs by number of endpoints.
pub(crate) async fn measure(stage: &Stage<'_>, pace: &Pace) -> Result<Table> {
    let known = know(stage, pace).await?;
    let mut table = Table::new(&[
        "endpoints",
        "agent, KiB",
        "lookup, CPU",
        "questions, UDP + TCP",
        "a call in the caller, CPU",
        "in the callee",
    ]);
    let agents: Vec<String> = pace.endpoints.iter().map(|(endpoints, _)| format!("e-{endpoints}")).collect();
    let callee = stage.callee(&agents.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let port = port(&callee)?;
    let caller = stage.caller(json!({}), port).await?;
    for (((endpoints, _), agent), known) in pace.endpoints.iter().zip(&agents).zip(known) {
        stage.dns.announce(agent, &replicas(port, *endpoints))?;
        let path = format!("/agents/{agent}");
        let calls = (UNTIL_ALL * endpoints).max(CALLS_LEAST);
        Crowd::of(&caller)?.order(&Order::CallOften { path: path.clone(), calls }).await?;
        let [in_caller, in_callee] = call([&caller, &callee], path, pace.load).await?;
        println!(
            "  {} endpoints, connected: {} and {} µs a call ({} sockets)",
            count(*endpoints),
            figure(in_caller),
            figure(in_callee),
            caller.reading()?.sockets
        );
        table.row([
            count(*endpoints),
            figure(known.memory),
            format!("{} µs", figure(known.cpu)),
            format!("{} + {}", figure(known.udp), figure(known.tcp)),
            format!("{} µs", figure(in_caller)),
            format!("{} µs", figure(in_callee)),
        ]);
    }
    Ok(table)
}

/// What agents take that nobody can connect to, for each number of endpoints in a sidecar of its own.
async fn know(stage: &Stage<'_>, pace: &Pace) -> Result<Vec<Known>> {
    let mut sidecars = Vec::new();
    for (endpoints, agents) in pace.endpoints {
        let deaf = stage.deaf(*endpoints)?;
        let caller = stage.caller(json!({}), deaf[0].port()).await?;
        for number in 0..WARM_UP {
            stage.dns.announce(&format!("w{endpoints}-{number}"), &deaf[..1])?;
        }
        for number in 0..*agents {
            stage.dns.announce(&format!("k{endpoints}-{number}"), &deaf)?;
        }
        let mut crowd = Crowd::of(&caller)?;
        let prefix = format!("/agents/w{endpoints}-");
        crowd.try_order(&Order::CallEach { prefix, numbers: 0..WARM_UP }).await?;
        sleep(pace.rest).await;
        let before = caller.reading()?;
        let prefix = format!("/agents/k{endpoints}-");
        crowd.try_order(&Order::CallEach { prefix, numbers: 0..*agents }).await?;
        sidecars.push((*endpoints, *agents, caller, before));
    }
    sleep(pace.rest).await;
    let mut before = Vec::new();
    for (endpoints, agents, caller, first) in &sidecars {
        let now = caller.reading()?;
        let memory = now.each(first, *agents);
        before.push((now, stage.dns.questions(&format!("k{endpoints}")), memory));
    }
    sleep(pace.lookups).await;
    let mut known = Vec::new();
    for ((endpoints, agents, caller, _), (then, asked, memory)) in sidecars.iter().zip(before) {
        let now = caller.reading()?;
        let questions = stage.dns.questions(&format!("k{endpoints}"));
        let lookups = (questions.lookups - asked.lookups) as f64;
        let known_now = Known {
            memory,
            cpu: now.microseconds(&then) / lookups,
            udp: (questions.udp - asked.udp) as f64 / lookups,
            tcp: (questions.tcp - asked.tcp) as f64 / lookups,
        };
        println!(
            "  {} agents with {} endpoints: {} KiB each; a lookup takes {} µs and {} + {} questions",
            agents,
            count(*endpoints),
            figure(memory),
            figure(known_now.cpu),
            figure(known_now.udp),
            figure(known_now.tcp)
        );
        known.push(known_now);
    }
    Ok(known)
}

/// The processor time of a call in each of the sidecars, in microseconds.
async fn call(sidecars: [&Sidecar; 2], path: String, window: Duration) -> Result<[f64; 2]> {
    let order = load::Order {
        address: sidecars[0].outbound,
        path,
        body: 1 << 10,
        events: 0,
        connections: CALLERS,
        warm_up: window / 4,
        window,
    };
    let (outcome, before, after) = under_load(sidecars, &order).await?;
    if outcome.failed > 0 {
        return Err(format!("{} calls failed", outcome.failed).into());
    }
    Ok([0, 1].map(|index| after[index].microseconds(&before[index]) / outcome.calls as f64))
}

/// Has calls made, and reads the sidecars before and after.
pub(crate) async fn under_load(
    sidecars: [&Sidecar; 2],
    order: &load::Order,
) -> Result<(load::Outcome, [Reading; 2], [Reading; 2])> {
    let mut load = Process::role("load", &[&serde_json::to_string(order)?])?;
    load.line().await?;
    let before = [sidecars[0].reading()?, sidecars[1].reading()?];
    load.say("go").await?;
    let outcome = serde_json::from_str(&load.line().await?)?;
    Ok((outcome, before, [sidecars[0].reading()?, sidecars[1].reading()?]))
}

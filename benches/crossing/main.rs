//! `cargo bench --bench crossing [-- OPTIONS]`: what the way through two sidecars costs, beside no way at all (load →
//! agent) and beside the least that there can be (load → TCP → mutual TLS → TCP → agent, bytes copied and not looked at).
//!
//! Everything is a process of its own on this machine's loopback; this program is its own agent, relays and load. Options:
//!
//! - `--quick`: three cases in under a minute
//! - `--cases LIST`: only cases with one of these in their name, such as `1 KB × 1,20 events`
//! - `--rounds N`: so many rounds
//! - `--lanes LIST`: of `direct`, `relay` and `crossing`, the last with where its log goes (`crossing:null`, the default,
//!   `crossing:file`, or `crossing:quiet` for none) and with the program to run (`crossing@PATH`); each crossing is
//!   compared with the lanes before it that are none, and with the first crossing
#![expect(clippy::print_stdout, reason = "its result is a table on stdout")]

#[path = "../common/agent.rs"]
mod agent;
#[path = "../common/http.rs"]
mod http;
#[path = "../common/load.rs"]
mod load;
#[path = "../common/message.rs"]
mod message;
mod plan;
#[path = "../common/process.rs"]
mod process;
mod relay;
mod report;
#[path = "../common/sidecars.rs"]
mod sidecars;
mod stage;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::time::sleep;

use self::plan::{Case, Pace};
use self::process::until_the_end;
use self::stage::Stage;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

const PACE: Pace =
    Pace { rounds: 5, warm_up: Duration::from_millis(200), window: Duration::from_millis(800) };
const PACE_QUICK: Pace =
    Pace { rounds: 3, warm_up: Duration::from_millis(100), window: Duration::from_millis(500) };
const LANES: &str = "direct,relay,crossing";
/// How long a process is left alone before its memory is looked at.
const REST: Duration = Duration::from_millis(500);

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, role, rest @ ..] = &args[..]
        && flag == "--role"
    {
        return play(role, rest);
    }
    if !args.iter().any(|arg| arg == "--bench") {
        println!("Run this with: cargo bench --bench crossing");
        return Ok(());
    }
    Builder::new_current_thread().enable_all().build()?.block_on(bench(&args))
}

/// Runs as one of the processes of the bench.
fn play(role: &str, args: &[String]) -> Result<()> {
    // One thread each, which is what a sidecar takes.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let played = match (role, args) {
        ("load", [order]) => runtime.block_on(load::run(order)),
        ("agent", []) => runtime.block_on(until_the_end(async { Ok(agent::run().await?) })),
        ("into-tls", [target, dir]) => {
            let target = target.parse()?;
            runtime.block_on(until_the_end(relay::into_tls(target, Path::new(dir))))
        }
        ("out-of-tls", [target, dir]) => {
            let target = target.parse()?;
            runtime.block_on(until_the_end(relay::out_of_tls(target, Path::new(dir))))
        }
        _ => Err(format!("no role {role} with {args:?}").into()),
    };
    // A read of stdin may still be under way.
    runtime.shutdown_background();
    played
}

async fn bench(args: &[String]) -> Result<()> {
    let option = |name: &str| {
        let at = args.iter().position(|arg| arg == name);
        at.and_then(|at| args.get(at + 1)).map(String::as_str)
    };
    let quick = args.iter().any(|arg| arg == "--quick");
    let (cases, mut pace) = if quick { (plan::quick(), PACE_QUICK) } else { (plan::whole(), PACE) };
    if let Some(rounds) = option("--rounds") {
        pace.rounds = rounds.parse()?;
    }
    let wanted: Option<Vec<&str>> = option("--cases").map(|list| list.split(',').collect());
    let is_wanted = |case: &Case| wanted.as_ref().is_none_or(|list| list.iter().any(|words| case.has(words)));
    let cases: Vec<Case> = cases.into_iter().filter(is_wanted).collect();

    let dragoman = Path::new(env!("CARGO_BIN_EXE_dragoman"));
    let stage = Stage::build(option("--lanes").unwrap_or(LANES), dragoman).await?;
    println!(
        "dragoman: {} KiB; CPU is that of both sidecars (or relays) together",
        dragoman.metadata()?.len() >> 10
    );
    sleep(REST).await;
    let at_rest = stage.memory()?;
    let mut measured = Vec::new();
    for case in cases {
        let of_case = case.measure(&stage, pace).await?;
        report::case(&case, &of_case, &stage);
        measured.push((case, of_case));
    }
    sleep(REST).await;
    report::memory(&at_rest, &stage.memory()?, &stage);
    report::ratios(&measured, &stage);
    Ok(())
}

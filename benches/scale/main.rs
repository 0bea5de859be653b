//! `cargo bench --bench scale [-- OPTIONS]`: how what a sidecar takes grows with the streams it holds open, the agents it
//! knows, their endpoints, and the connections it has; and whether it grows with time.
//!
//! Everything is a process of its own on this machine's loopback, but for the DNS server, which is in this one. What one
//! more of something takes is the difference between many and few of it. Options:
//!
//! - `--quick`: fewer of everything, in under half a minute; the figures are rough
//! - `--cases LIST`: only these, of `rest`, `streams`, `names`, `endpoints`, `connections`, `peers` and `callers`
//! - `--program PATH`: another build of `dragoman`
//! - `--soak [MINUTES]`: instead of the cases, so many minutes (10) of mixed calls, and whether memory grows meanwhile
#![expect(clippy::print_stdout, reason = "its result is tables on stdout")]

#[path = "../common/agent.rs"]
mod agent;
mod cases;
mod crowd;
mod dns;
#[path = "../common/http.rs"]
mod http;
#[path = "../common/load.rs"]
mod load;
#[path = "../common/message.rs"]
mod message;
mod mix;
#[expect(dead_code, reason = "the other bench uses all of it")]
#[path = "../common/process.rs"]
mod process;
mod report;
mod sidecar;
#[expect(dead_code, reason = "the other bench uses all of it")]
#[path = "../common/sidecars.rs"]
mod sidecars;
mod soak;
mod stage;

use std::error::Error;
use std::path::Path;

use tokio::runtime::Builder;
use tokio::time::Instant;

use self::cases::{Pace, callers, connections, endpoints, names, peers, rest, streams, units};
use self::process::until_the_end;
use self::soak::Soak;
use self::stage::Stage;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

const CASES: &str = "rest,streams,names,endpoints,connections,peers,callers";
/// Sockets of a process beside those of the streams.
const SOCKETS_BESIDE: u64 = 200;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, role, rest @ ..] = &args[..]
        && flag == "--role"
    {
        return play(role, rest);
    }
    if !args.iter().any(|arg| arg == "--bench") {
        println!("Run this with: cargo bench --bench scale");
        return Ok(());
    }
    Builder::new_current_thread().enable_all().build()?.block_on(bench(&args))
}

/// Runs as one of the processes of the bench.
fn play(role: &str, args: &[String]) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let played = match (role, args) {
        ("load", [order]) => runtime.block_on(load::run(order)),
        ("crowd", [address]) => runtime.block_on(crowd::run(address.parse()?)),
        ("mix", [address]) => runtime.block_on(mix::run(address.parse()?)),
        ("agent", []) => runtime.block_on(until_the_end(async { Ok(agent::run().await?) })),
        _ => Err(format!("no role {role} with {args:?}").into()),
    };
    // A read of stdin may still be under way.
    runtime.shutdown_background();
    played
}

async fn bench(args: &[String]) -> Result<()> {
    let after = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        Some(args.get(at + 1).map_or("", String::as_str))
    };
    let quick = args.iter().any(|arg| arg == "--quick");
    // All processes inherit it.
    let sockets = rlimit::increase_nofile_limit(u64::MAX)?;
    let program = after("--program").unwrap_or(env!("CARGO_BIN_EXE_dragoman"));
    let stage = Stage::build(Path::new(program)).await?;
    if let Some(minutes) = after("--soak") {
        let minutes = minutes.parse().unwrap_or(10);
        return soak::run(&stage, Soak::of_minutes(minutes)).await;
    }
    let mut pace = if quick { cases::QUICK } else { cases::WHOLE };
    pace.hold_within(usize::try_from(sockets.saturating_sub(SOCKETS_BESIDE))?);
    run(&stage, &pace, after("--cases").unwrap_or(CASES)).await?;
    if quick && after("--cases").is_none() {
        soak::run(&stage, soak::QUICK).await?;
    }
    Ok(())
}

async fn run(stage: &Stage<'_>, pace: &Pace, wanted: &str) -> Result<()> {
    let began = Instant::now();
    let mut units = units();
    let mut tables = Vec::new();
    for case in wanted.split(',') {
        println!("{case} (at {:.0} s)", began.elapsed().as_secs_f64());
        match case {
            "rest" => rest::measure(stage, pace, &mut units).await?,
            "streams" => streams::measure(stage, pace, &mut units).await?,
            "names" => names::measure(stage, pace, &mut units).await?,
            "endpoints" => tables.push(endpoints::measure(stage, pace).await?),
            "connections" => connections::measure(stage, pace, &mut units).await?,
            "peers" => peers::measure(stage, pace, &mut units).await?,
            "callers" => tables.push(callers::measure(stage, pace).await?),
            _ => return Err(format!("no case {case}: there are {CASES}").into()),
        }
    }
    println!("done (at {:.0} s)", began.elapsed().as_secs_f64());
    units.print();
    tables.iter().for_each(report::Table::print);
    Ok(())
}

//! `dragoman demo`: two meshes on one machine, two agents, and a client, with nothing but this binary. It shows what happens
//! at each hop, and fails if anything is not as it should be. No network, no keys but those made on the spot.
//!
//! Nothing here reaches into a sidecar: the agents and the client speak HTTP to it, and what is shown of it comes from its
//! log and its admin pages.

mod agent;
mod caller;
mod currency;
mod dns;
mod money;
mod planner;
mod screen;
mod stage;
mod story;
mod witness;

use std::io::{self, Write};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use self::caller::CallError;
use self::screen::Screen;
use self::stage::Stage;
use self::story::Story;
use self::witness::Witness;
use crate::app::StartError;
use crate::config::ConfigErrors;
use crate::identity::{AuthorityError, Clock};

/// How long the planner thinks about each day: long enough to see that its updates stream.
const THINKS: Duration = Duration::from_millis(120);

/// How the demo is shown.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether to use colours.
    pub colored: bool,
    /// What the commands to try begin with.
    pub program: String,
    /// Whether to stay up after the story, for commands of the reader's own.
    pub stay: bool,
}

/// Why the demo has failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A certificate cannot be made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// Somebody was called in vain.
    #[error("{0}")]
    Call(String),
    /// A configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// It was told to end.
    #[error("interrupted")]
    Interrupted,
    /// A file, a socket or the terminal.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A sidecar cannot start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A step has not done what it should.
    #[error("{0}")]
    Unexpected(String),
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Call(error.to_string())
    }
}

/// Shows the demo on `out`, until it is over or the process is told to end.
///
/// # Errors
/// If any step does not do what it should.
pub async fn run(options: &Options, clock: &Clock, out: Box<dyn Write>) -> Result<(), Failure> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut witness = Witness::start()?;
    let mut screen = Screen::new(out, options.colored);
    let told = async {
        let stage = Stage::set(clock, THINKS).await?;
        Story { stage: &stage, screen: &mut screen, witness: &mut witness }.tell().await?;
        Ok::<_, Failure>(stage)
    };
    let told = tokio::select! {
        told = told => told,
        _ = interrupt.recv() => Err(Failure::Interrupted),
        _ = terminate.recv() => Err(Failure::Interrupted),
    };
    let stage = match told {
        Ok(stage) => stage,
        Err(failure) => {
            for warning in witness.warnings() {
                screen.line(format_args!("the log says: {warning}"));
            }
            return Err(failure);
        }
    };
    if options.stay {
        invite(&mut screen, &stage, &options.program)?;
        let watch = async {
            while let Some(seen) = witness.next().await {
                screen.seen(&seen);
            }
        };
        tokio::select! {
            () = watch => {}
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
    stage.close().await?;
    Ok(screen.finish()?)
}

/// Says what else can be done while everything is up.
fn invite(screen: &mut Screen, stage: &Stage, program: &str) -> Result<(), Failure> {
    let (traveller, planner) = (stage.traveller.outbound()?, stage.planner.outbound()?);
    let currency = stage.currency.agent();
    let ask = r#"{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"message":{"messageId":"1","role":"ROLE_USER","parts":[{"text":"Two days in Seoul for 500 EUR"}]}}}"#;
    let title = screen.bold("It stays up. In another terminal, try:");
    screen.line(format_args!("\n{title}"));
    screen.line(format_args!(
        "  {program} send planner 'Two days in Seoul for 500 EUR' --stream --sidecar http://{traveller}"
    ));
    screen.line(format_args!("  {program} send {currency} '100 CHF in JPY' --sidecar http://{planner}"));
    screen.line(format_args!("  {program} card {currency} --sidecar http://{planner}"));
    screen.line(format_args!("  curl http://{traveller}/agents/planner/.well-known/agent-card.json"));
    screen.line(format_args!(
        "  curl http://{traveller}/agents/planner -H 'Content-Type: application/json' -d '{ask}'"
    ));
    screen.line(format_args!("  curl {}", stage.traveller.admin("/metrics")?));
    let files =
        format!("Configurations and certificates are in {}. Ctrl-C ends it all.", stage.dir().display());
    let files = screen.dim(&files);
    screen.line(files);
    Ok(())
}

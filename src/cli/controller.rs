//! The `dragoman-controller` command: what makes a cluster a mesh.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use tokio::runtime::Builder;

use super::{Failure, USAGE, environment, print, process};
use crate::app::{Controller, write_ready_file};
use crate::config::ControllerConfig;
use crate::identity::Clock;

/// Puts sidecars into pods, issues their identities, and knows all agents of a cluster.
#[derive(Debug, Parser)]
#[command(name = "dragoman-controller", version, about)]
struct Cli {
    /// The configuration, a YAML file
    #[arg(long, value_name = "FILE", required_unless_present = "schema")]
    config: Option<PathBuf>,
    /// Written once everything listens and every role is ready
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
    /// Only say whether the configuration is right
    #[arg(long)]
    check: bool,
    /// Only print the JSON Schema of the configuration
    #[arg(long)]
    schema: bool,
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if error.print().is_ok() && help { ExitCode::SUCCESS } else { ExitCode::from(USAGE) };
        }
    };
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.exit("dragoman-controller"),
    }
}

fn run(cli: &Cli) -> Result<(), Failure> {
    let Some(path) = cli.config.as_ref().filter(|_| !cli.schema) else {
        return print(&format!("{:#}", ControllerConfig::schema()));
    };
    let config = ControllerConfig::load(path, environment).map_err(Failure::usage)?;
    if cli.check {
        return print(&format!("{}: ok", path.display()));
    }
    let _log = process::log(&config.log)?;
    process::raise_socket_limit();
    process::remove(cli.ready_file.as_deref())?;
    // Requests come in crowds, when a deployment rolls: both cores of a small node may work at them.
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(&config, cli.ready_file.as_deref()))
}

async fn serve(config: &ControllerConfig, ready_file: Option<&Path>) -> Result<(), Failure> {
    let mut told = process::Told::new()?;
    let started = tokio::select! {
        started = Controller::start(config, Clock::system(), rand::random()) => started,
        signal = told.end() => {
            tracing::info!(signal, "Ended before it had begun");
            return Ok(());
        }
    };
    let mut controller = started.map_err(Failure::operation)?;
    tracing::info!(addresses = ?controller.addresses, version = env!("CARGO_PKG_VERSION"), "Listening");
    let signal = tokio::select! {
        () = controller.ready() => {
            if let Some(path) = ready_file {
                let written = write_ready_file(path, &controller.addresses);
                written.map_err(|error| at(path, &error))?;
            }
            tracing::info!("Ready");
            told.end().await
        }
        signal = told.end() => signal,
    };
    tracing::info!(signal, "Draining");
    tokio::select! {
        finished = controller.drain() => tracing::info!(finished, "Ended"),
        () = told.hurry() => tracing::info!("Ended without waiting"),
    }
    Ok(())
}

fn at(path: &Path, error: &io::Error) -> Failure {
    Failure::operation(format!("{}: {error}", path.display()))
}

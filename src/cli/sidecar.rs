//! `dragoman sidecar`: from the first line of the log to the last.

use std::io;
use std::path::Path;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tracing::Level;

use super::{Failure, Sidecar, environment};
use crate::app::{Addresses, App, write_ready_file};
use crate::config::{Config, LogFormat, LogLevel};
use crate::identity::Clock;
use crate::telemetry::log::{self, Format};

/// Runs a sidecar until it is told to end.
pub(super) fn run(args: &Sidecar) -> Result<(), Failure> {
    let config = Config::load(&args.config, environment).map_err(Failure::usage)?;
    // The first that is made and the last that ends: whatever happens in between is written.
    let _log = log::start(
        match config.log.format {
            LogFormat::Json => Format::Json,
            LogFormat::Text => Format::Text,
        },
        match config.log.level {
            LogLevel::Error => Level::ERROR,
            LogLevel::Warn => Level::WARN,
            LogLevel::Info => Level::INFO,
            LogLevel::Debug => Level::DEBUG,
            LogLevel::Trace => Level::TRACE,
        },
    )?;
    // A stream takes a socket at either end; the usual 1024 would be few.
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(sockets) => tracing::debug!(sockets, "As many sockets as the system allows"),
        Err(error) => tracing::warn!(%error, "The number of open sockets cannot be raised"),
    }
    if let Some(path) = &args.ready_file {
        remove(path)?;
    }
    let runtime = match config.limits.threads {
        // Nobody has to be woken on another processor.
        1 => Builder::new_current_thread().enable_all().build()?,
        threads => Builder::new_multi_thread().worker_threads(threads.into()).enable_all().build()?,
    };
    runtime.block_on(serve(&config, args.ready_file.as_deref()))
}

async fn serve(config: &Config, ready_file: Option<&Path>) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut app = App::start(config, Clock::system(), rand::random()).map_err(Failure::usage)?;
    let Addresses { outbound, inbound, admin, .. } = &app.addresses;
    tracing::info!(?outbound, ?inbound, ?admin, version = env!("CARGO_PKG_VERSION"), "Listening");
    let told = tokio::select! {
        () = app.ready() => {
            if let Some(path) = ready_file {
                let written = write_ready_file(path, &app.addresses);
                written.map_err(|error| Failure::operation(format!("{}: {error}", path.display())))?;
            }
            tracing::info!("Ready");
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        }
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(signal = told, "Draining");
    tokio::select! {
        finished = app.drain() => tracing::info!(finished, "Ended"),
        // Who asks twice does not want to wait.
        _ = interrupt.recv() => tracing::info!("Ended without waiting"),
    }
    Ok(())
}

/// A ready file of an earlier run says nothing about this one.
fn remove(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::operation(format!("{}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}

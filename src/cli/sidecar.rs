//! `dragoman sidecar`: from the first line of the log to the last.

use std::path::Path;

use tokio::runtime::Builder;

use super::{Failure, Sidecar, environment, process};
use crate::app::{Addresses, App, write_ready_file};
use crate::config::Config;
use crate::identity::Clock;

/// Runs a sidecar until it is told to end.
pub(super) fn run(args: &Sidecar) -> Result<(), Failure> {
    let config = Config::load(&args.config, environment).map_err(Failure::usage)?;
    let _log = process::log(&config.log)?;
    process::raise_socket_limit();
    process::remove(args.ready_file.as_deref())?;
    let runtime = match config.limits.threads {
        // Nobody has to be woken on another processor.
        1 => Builder::new_current_thread().enable_all().build()?,
        threads => Builder::new_multi_thread().worker_threads(threads.into()).enable_all().build()?,
    };
    runtime.block_on(serve(&config, args.ready_file.as_deref()))
}

async fn serve(config: &Config, ready_file: Option<&Path>) -> Result<(), Failure> {
    let mut told = process::Told::new()?;
    let mut app = App::start(config, Clock::system(), rand::random()).map_err(Failure::usage)?;
    let Addresses { outbound, inbound, admin, .. } = &app.addresses;
    tracing::info!(?outbound, ?inbound, ?admin, version = env!("CARGO_PKG_VERSION"), "Listening");
    let signal = tokio::select! {
        () = app.ready() => {
            if let Some(path) = ready_file {
                let written = write_ready_file(path, &app.addresses.to_json());
                written.map_err(|error| Failure::operation(format!("{}: {error}", path.display())))?;
            }
            tracing::info!("Ready");
            told.end().await
        }
        signal = told.end() => signal,
    };
    tracing::info!(signal, "Draining");
    tokio::select! {
        finished = app.drain() => tracing::info!(finished, "Ended"),
        () = told.hurry() => tracing::info!("Ended without waiting"),
    }
    Ok(())
}

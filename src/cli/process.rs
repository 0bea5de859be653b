//! What every long-running command does: it logs, it may open many sockets, it is told to end.

use std::io;
use std::path::Path;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::Level;

use super::Failure;
use crate::config::{self, LogFormat, LogLevel};
use crate::telemetry::log::{self, Format, Log};

/// Starts the log. The first thing that is made and the last that ends: whatever happens in between is written.
pub(super) fn log(config: &config::Log) -> io::Result<Log> {
    log::start(
        match config.format {
            LogFormat::Json => Format::Json,
            LogFormat::Text => Format::Text,
        },
        match config.level {
            LogLevel::Error => Level::ERROR,
            LogLevel::Warn => Level::WARN,
            LogLevel::Info => Level::INFO,
            LogLevel::Debug => Level::DEBUG,
            LogLevel::Trace => Level::TRACE,
        },
    )
}

/// A stream takes a socket at either end; the usual 1024 would be few.
pub(super) fn raise_socket_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(sockets) => tracing::debug!(sockets, "As many sockets as the system allows"),
        Err(error) => tracing::warn!(%error, "The number of open sockets cannot be raised"),
    }
}

/// A ready file of an earlier run says nothing about this one.
pub(super) fn remove(ready_file: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = ready_file else { return Ok(()) };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::operation(format!("{}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}

/// The signals by which a process is told to end.
pub(super) struct Told {
    terminate: Signal,
    interrupt: Signal,
}

impl Told {
    /// From now on the signals come here.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits until the process is to end; which signal said so.
    pub(super) async fn end(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Waits until somebody asks once more, who does not want to wait.
    pub(super) async fn hurry(&mut self) {
        self.interrupt.recv().await;
    }
}

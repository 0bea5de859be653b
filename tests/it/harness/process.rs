//! The command itself, as a process.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::process::{Child, Command};

use super::{eventually, soon};

/// `dragoman` with an environment of its own.
pub(crate) fn dragoman(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dragoman"));
    command.args(arguments).env_remove("DRAGOMAN_SIDECAR").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command to its end.
pub(crate) async fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = soon("the end of the command", command.output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// A sidecar in a process of its own.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts a sidecar with that configuration; `ready` is its ready file.
    pub(crate) fn start(dir: &Path, config: &Value, ready: &Path) -> Self {
        let file = dir.join("dragoman.yaml");
        std::fs::write(&file, config.to_string()).unwrap();
        let mut command = dragoman(&["sidecar", "--config"]);
        command.arg(file).arg("--ready-file").arg(ready);
        Self { child: command.spawn().unwrap() }
    }

    /// Sends a signal.
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.child.id().expect("a process that runs").to_string();
        assert!(Command::new("kill").args([name, &id]).status().await.unwrap().success());
    }

    /// Waits for the end: the exit code, what was written to stdout, and the lines of the log.
    pub(crate) async fn end(self) -> (i32, String, Vec<Value>) {
        let Output { status, stdout, stderr } =
            soon("the end of the process", self.child.wait_with_output()).await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let log = text(stderr).lines().map(super::json::value).collect();
        (status.code().unwrap(), text(stdout), log)
    }
}

/// What a ready file says, once it is there.
pub(crate) async fn ready(file: &Path) -> Value {
    let text = eventually("the ready file", || async { tokio::fs::read_to_string(file).await.ok() }).await;
    super::json::value(&text)
}

/// An address that a ready file names.
pub(crate) fn address(ready: &Value, door: &str) -> SocketAddr {
    ready[door].as_str().unwrap().parse().unwrap()
}

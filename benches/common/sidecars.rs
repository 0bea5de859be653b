//! The sidecars of a bench: a throw-away authority, identities, and processes that are told what the bench wants.

use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::Process;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

const TRUST_DOMAIN: &str = "bench.example";

/// Where the files of all sidecars lie. They go away with it.
pub(crate) struct Ground {
    dir: TempDir,
    certifier: PathBuf,
}

/// Where the log lines of a sidecar go.
#[derive(Clone, Copy)]
pub(crate) enum Log {
    File,
    Null,
    /// Nowhere, and none is written for a call.
    Quiet,
}

impl Ground {
    /// A new authority, whose certificates `dragoman` issues.
    pub(crate) fn new(dragoman: &Path) -> Result<Self> {
        let ground = Self { dir: tempfile::tempdir()?, certifier: dragoman.to_owned() };
        ground.certify(&["ca", "--trust-domain", TRUST_DOMAIN, "--out", &ground.path("ca")])?;
        Ok(ground)
    }

    /// The directory of an identity, issued when it is first asked for.
    pub(crate) fn identity(&self, name: &str, more: &[&str]) -> Result<String> {
        let (ca, out) = (self.path("ca"), self.path(name));
        let id = format!("spiffe://{TRUST_DOMAIN}/ns/lab/sa/{name}");
        let args = ["issue", "--ca", &ca, "--id", &id, "--out", &out];
        if !Path::new(&out).exists() {
            self.certify(&[&args, more].concat())?;
        }
        Ok(out)
    }

    /// Starts a sidecar with `own` beside what all of them are told, and waits until it is ready; with its addresses.
    pub(crate) async fn sidecar(
        &self,
        name: &str,
        own: Value,
        program: &Path,
        log: Log,
    ) -> Result<(Process, Value)> {
        let level = if matches!(log, Log::Quiet) { "warn" } else { "info" };
        let mut config = json!({
            "mesh": {"name": "bench", "trustDomain": TRUST_DOMAIN, "namespace": "lab"},
            "outbound": {"listen": "127.0.0.1:0"},
            "admin": {"listen": "127.0.0.1:0"},
            "log": {"level": level},
        });
        if let (Value::Object(config), Value::Object(own)) = (&mut config, own) {
            config.extend(own);
        }
        // JSON is YAML.
        let (file, ready) = (self.path(&format!("{name}.yaml")), self.path(&format!("{name}.ready")));
        fs::write(&file, config.to_string())?;
        let log = match log {
            Log::File => Some(File::create(self.path(&format!("{name}.log")))?),
            Log::Null | Log::Quiet => None,
        };
        let args = ["sidecar", "--config", &file, "--ready-file", &ready];
        let mut process = Process::program(name, program, &args, log)?;
        let addresses = process.ready(Path::new(&ready)).await?;
        Ok((process, addresses))
    }

    fn certify(&self, args: &[&str]) -> Result<()> {
        let output = Command::new(&self.certifier).arg("certs").args(args).output()?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into()) }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_string_lossy().into_owned()
    }
}

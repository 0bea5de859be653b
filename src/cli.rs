//! The command line: what a person types, what it does, and how it ends.
//!
//! Results go to stdout, everything else to stderr. Exit codes: 0 success, 1 the operation failed, 64 usage or
//! configuration.

mod agents;
mod certs;
mod check;
mod client;
pub mod controller;
mod demo;
mod process;
mod sidecar;

use std::fmt;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::config;

/// `EX_USAGE` of sysexits(3).
const USAGE: u8 = 64;

/// Dragoman lets A2A agents talk across pods and clusters without changing them.
#[derive(Debug, Parser)]
#[command(name = "dragoman", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run beside an agent
    Sidecar(Sidecar),
    /// See two agents in two meshes talk, on this machine alone
    Demo(Demo),
    /// List agents: those of this namespace, or others
    Agents(Agents),
    /// Show an agent's card
    Card(Card),
    /// Send a text to an agent
    Send(Send),
    /// Say what is wrong with a sidecar, and with agents as it reaches them, and what to do next
    Check(Check),
    /// Check a configuration, or print its JSON Schema
    Config {
        #[command(subcommand)]
        command: Config,
    },
    /// Make certificates for tests and small meshes
    Certs {
        #[command(subcommand)]
        command: Certs,
    },
    /// Print completions for a shell
    Completions {
        /// bash, elvish, fish, powershell or zsh
        shell: clap_complete::Shell,
    },
}

#[derive(Args, Debug)]
struct Sidecar {
    /// The configuration, a YAML file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Written once everything listens and the first identity is loaded
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct Demo {
    /// End when the story is told, in a terminal too
    #[arg(long)]
    once: bool,
}

/// Where a running sidecar is.
#[derive(Args, Debug)]
struct Running {
    /// The outbound listener of a running sidecar
    #[arg(long, env = "DRAGOMAN_SIDECAR", default_value = "http://127.0.0.1:2602", value_name = "URL")]
    sidecar: http::Uri,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Agents {
    /// Those of this namespace
    #[arg(long, value_name = "NS", conflicts_with = "all")]
    namespace: Option<String>,
    /// Those of every namespace and mesh
    #[arg(long)]
    all: bool,
    /// Only those whose name or skills have all these words in them
    #[arg(long, value_name = "WORDS")]
    skill: Option<String>,
    /// Only those of this mesh
    #[arg(long, value_name = "M")]
    mesh: Option<String>,
    /// Go on, and tell each change
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    running: Running,
}

#[derive(Args, Debug)]
struct Card {
    /// agent, agent.namespace or agent.namespace.mesh
    name: String,
    #[command(flatten)]
    running: Running,
}

#[derive(Args, Debug)]
struct Check {
    /// The agents to look at: agent, agent.namespace or agent.namespace.mesh
    names: Vec<String>,
    /// The configuration to look at if no sidecar runs
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    running: Running,
}

#[derive(Args, Debug)]
struct Send {
    /// agent, agent.namespace or agent.namespace.mesh
    name: String,
    /// What to say
    text: String,
    /// Follow what happens, event by event
    #[arg(long)]
    stream: bool,
    #[command(flatten)]
    running: Running,
}

#[derive(Debug, Subcommand)]
enum Config {
    /// Say whether a configuration is right, and if not, where
    Check {
        /// The configuration, a YAML file
        #[arg(default_value = "dragoman.yaml")]
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of the configuration
    Schema {
        /// Write it there instead
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum Certs {
    /// Make a certificate authority for a trust domain
    Ca {
        /// The trust domain, such as east.example
        #[arg(long, value_name = "D")]
        trust_domain: String,
        /// The directory for ca.crt and ca.key
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Issue a certificate to a workload
    Issue {
        /// The directory with ca.crt and ca.key
        #[arg(long, value_name = "DIR")]
        ca: PathBuf,
        /// The SPIFFE ID, such as spiffe://east.example/ns/travel/sa/currency
        #[arg(long, value_name = "SPIFFE")]
        id: String,
        /// A DNS name for ordinary gRPC clients; may be given several times
        #[arg(long, value_name = "NAME")]
        dns: Vec<String>,
        /// The directory for tls.crt, tls.key and ca.crt
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Why a command failed, and with which exit code.
#[derive(Debug)]
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// The operation failed.
    fn operation(message: impl fmt::Display) -> Self {
        Self { code: 1, message: message.to_string() }
    }

    /// The command or a configuration is wrong.
    fn usage(message: impl fmt::Display) -> Self {
        Self { code: USAGE, message: message.to_string() }
    }

    /// Tells the user, and what the process ends with. If even that is impossible there is nobody to tell.
    fn exit(&self, program: &str) -> ExitCode {
        drop(writeln!(io::stderr(), "{program}: {}", self.message));
        ExitCode::from(self.code)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::operation(error)
    }
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // Who does not read the help cannot be helped.
            return if error.print().is_ok() && help { ExitCode::SUCCESS } else { ExitCode::from(USAGE) };
        }
    };
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.exit("dragoman"),
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Sidecar(args) => sidecar::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Agents(args) => agents::list(&args),
        Command::Card(args) => client::card(&args),
        Command::Send(args) => client::send(&args),
        Command::Check(args) => check::run(&args),
        Command::Config { command } => configuration(command),
        Command::Certs { command } => certs::run(command),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "dragoman", &mut io::stdout());
            Ok(())
        }
    }
}

fn configuration(command: Config) -> Result<(), Failure> {
    match command {
        Config::Check { file, json } => {
            let checked = config::check(&file, environment);
            let checked = checked.map_err(Failure::usage)?;
            if json {
                print(&serde_json::json!({"file": file, "ok": true}).to_string())
            } else {
                print(&checked)
            }
        }
        Config::Schema { file: None } => print(&config::schema()),
        Config::Schema { file: Some(file) } => {
            let written = std::fs::write(&file, config::schema() + "\n");
            written.map_err(|error| Failure::operation(format!("{}: {error}", file.display())))
        }
    }
}

/// The one place where the environment is read.
fn environment(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

/// Writes a result. Who reads it may have left.
fn print(text: &str) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Tells something beside the result. Who does not hear it still has the result.
fn note(text: &str) {
    drop(writeln!(io::stderr(), "dragoman: {text}"));
}

/// A runtime for commands that wait for one thing.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }
}

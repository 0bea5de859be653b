//! Processes of the bench: starting them, hearing from them, and what they cost.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

/// How long to wait for a process to say something.
const PATIENCE: Duration = Duration::from_secs(60);

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// A process that ends with its value.
pub(crate) struct Process {
    /// What it is called in the report.
    pub(crate) name: String,
    child: Child,
    /// What it says and hears, if it is one of ours.
    pipes: Option<(Lines<BufReader<ChildStdout>>, ChildStdin)>,
}

/// Memory that a process holds, in MiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) now: f64,
    /// The most there ever was.
    pub(crate) peak: f64,
}

impl Process {
    /// Starts a program, with its stderr into a file or nowhere.
    pub(crate) fn program(name: &str, program: &Path, args: &[&str], log: Option<File>) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(log.map_or_else(Stdio::null, Stdio::from)).kill_on_drop(true).spawn()?;
        Ok(Self { name: name.to_owned(), child, pipes: None })
    }

    /// Starts this program once more, in another role.
    pub(crate) fn role(role: &str, args: &[&str]) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--role", role]).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn()?;
        let pipes = child.stdout.take().map(|stdout| BufReader::new(stdout).lines()).zip(child.stdin.take());
        Ok(Self { name: role.to_owned(), child, pipes })
    }

    /// What it says next.
    pub(crate) async fn line(&mut self) -> Result<String> {
        let (lines, _) = self.pipes.as_mut().ok_or("no pipes to this process")?;
        let line = timeout(PATIENCE, lines.next_line()).await??;
        Ok(line.ok_or_else(|| format!("{} has ended", self.name))?)
    }

    /// Says something to it.
    pub(crate) async fn say(&mut self, line: &str) -> Result<()> {
        let (_, stdin) = self.pipes.as_mut().ok_or("no pipes to this process")?;
        Ok(stdin.write_all(format!("{line}\n").as_bytes()).await?)
    }

    /// Waits for a file that the process will write.
    pub(crate) async fn ready(&mut self, file: &Path) -> Result<serde_json::Value> {
        let appears = async {
            loop {
                if let Ok(text) = fs::read(file) {
                    return Ok(serde_json::from_slice(&text)?);
                }
                if let Some(status) = self.child.try_wait()? {
                    return Err(format!("{} ended: {status}", self.name).into());
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, appears).await?
    }

    /// The processor time that it has used, on all threads.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        Ok(cpu_of(&self.id()?)?)
    }

    /// The memory that it holds.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()?))?;
        let mebibytes = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
            kibibytes.map(|kibibytes| kibibytes / 1024.0).ok_or("no such line in /proc/PID/status")
        };
        Ok(Memory { now: mebibytes("VmRSS:")?, peak: mebibytes("VmHWM:")? })
    }

    /// Its number.
    pub(crate) fn id(&self) -> Result<String> {
        Ok(self.child.id().ok_or_else(|| format!("{} has ended", self.name))?.to_string())
    }
}

/// Runs as long as the process that started this one, which holds the other end of stdin.
pub(crate) async fn until_the_end(role: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::select! {
        ended = role => ended,
        read = spawn_blocking(|| io::stdin().read(&mut [0])) => { read??; Ok(()) },
    }
}

/// The processor time of a process, exact to the nanosecond (the kernel's `schedstat`). Threads that have ended do not
/// count; none of ours end.
pub(crate) fn cpu_of(process: &str) -> io::Result<Duration> {
    let mut nanoseconds = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        let running = text.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
        nanoseconds += running.ok_or_else(|| io::Error::other("no number in schedstat"))?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Says a line to the process that started this one.
pub(crate) fn tell(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

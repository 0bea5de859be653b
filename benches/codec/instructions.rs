//! Counting instructions: this program once more under callgrind, which counts the same on a busy machine as on a quiet one.
//!
//! One process does a piece of work N times and another one 2 N times; what they differ by is N times the work, without
//! the start of the program and the making of the message.

use std::process::{Command, Stdio};

use crate::work::{Run, SUBJECTS, Work};

/// How this program is told to do nothing but one piece of work: `--count=DIRECTION,SUBJECT,TIMES`.
const COUNT: &str = "--count=";
/// Bytes of JSON in the N times that a message is worked on.
const BYTES: usize = 16 << 10;

/// A way through the codec.
#[derive(Clone, Copy)]
pub(crate) enum Direction {
    /// JSON → wire.
    Read,
    /// Wire → JSON.
    Write,
}

/// Whether `valgrind` can be run.
pub(crate) fn can_be_counted() -> bool {
    let version =
        Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// Counts the instructions of the work on the message of that name, which has so many bytes of JSON.
pub(crate) fn count(name: &str, json: usize, direction: Direction) -> [f64; SUBJECTS] {
    let times = u32::try_from(BYTES / json + 1).unwrap();
    std::array::from_fn(|subject| {
        let collected = |times| collected(name, direction, subject, times);
        (collected(2 * times) - collected(times)) / f64::from(times)
    })
}

/// The instructions of a process that does a piece of work so many times.
fn collected(name: &str, direction: Direction, subject: usize, times: u32) -> f64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().unwrap())
        .args(["--bench", &format!("{COUNT}{},{subject},{times}", direction as u8), name])
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&output.stderr);
    let collected = report.lines().find_map(|line| line.split_once("Collected :"));
    let (_, number) = collected.unwrap_or_else(|| panic!("no count from valgrind: {report}"));
    number.trim().parse().unwrap()
}

/// What this process is asked to do, if it is one to be counted.
pub(crate) struct Asked {
    direction: u8,
    subject: usize,
    times: u32,
}

impl Asked {
    /// Reads the argument that [`collected`] gives.
    pub(crate) fn parse(args: &[String]) -> Option<Self> {
        let asked = args.iter().find_map(|arg| arg.strip_prefix(COUNT))?;
        let [direction, subject, times] = asked.split(',').collect::<Vec<_>>().try_into().unwrap();
        Some(Self {
            direction: direction.parse().unwrap(),
            subject: subject.parse().unwrap(),
            times: times.parse().unwrap(),
        })
    }

    /// Does it.
    pub(crate) fn run(&self, mut work: Work<'_>) {
        let runs = if self.direction == Direction::Read as u8 { &mut work.read } else { &mut work.write };
        let run: &mut Run<'_> = &mut runs[self.subject];
        for _ in 0..self.times {
            run();
        }
    }
}

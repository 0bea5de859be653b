//! What the demo looks like.

use std::fmt::Display;
use std::io::{self, Write};

use super::witness::{Bytes, Seen};

const DRAWING: [&str; 5] = [
    "  traveller             planner                    currency",
    "      │                  ▲  │                         ▲        ─ JSON-RPC, plain HTTP, on localhost",
    "      ▼                  │  ▼                         │        ═ protobuf over gRPC, mutual TLS",
    "   sidecar ═══════════▶ sidecar ══════════════════▶ sidecar",
    "  ╰───── mesh east, east.example ─────╯     ╰─ mesh west, west.example ─╯",
];

/// One crossing from pod to pod, as measured.
#[derive(Debug)]
pub(super) struct Hop {
    pub(super) operation: String,
    /// The agent's full name.
    pub(super) agent: String,
    /// Where DNS has found it.
    pub(super) address: String,
    /// The SPIFFE ID of the caller.
    pub(super) from: String,
    /// The SPIFFE ID of the agent.
    pub(super) to: String,
    /// Whether these two have never spoken before: then the name is looked up, and the handshake made.
    pub(super) first: bool,
    pub(super) bytes: Bytes,
    /// The whole time, in milliseconds.
    pub(super) millis: f64,
    /// How much of it passed in the agent's pod, in milliseconds.
    pub(super) inside: f64,
}

/// Where the demo is shown.
pub(super) struct Screen {
    out: Box<dyn Write>,
    colored: bool,
    /// Why nothing is written any more.
    broken: Option<io::Error>,
}

impl Screen {
    /// Writes to `out`, in colour or not.
    pub(super) fn new(out: Box<dyn Write>, colored: bool) -> Self {
        Self { out, colored, broken: None }
    }

    /// Whether everything has been written. Who reads it may have left.
    pub(super) fn finish(self) -> io::Result<()> {
        self.broken.filter(|error| error.kind() != io::ErrorKind::BrokenPipe).map_or(Ok(()), Err)
    }

    /// What there is to see.
    pub(super) fn drawing(&mut self) {
        let title =
            self.bold("Two agents that have never met, in two meshes that trust each other only so far");
        self.line(format_args!("{title}\n"));
        for line in DRAWING {
            self.line(line);
        }
        self.line("");
    }

    /// A new chapter.
    pub(super) fn chapter(&mut self, number: u8, title: &str) {
        let title = self.bold(&format!("{number}  {title}"));
        self.line(title);
    }

    /// Somebody says something; `state` is what has become of the task.
    pub(super) fn says(&mut self, who: &str, what: &str, state: &str) {
        let who = self.paint(CYAN, &format!("{who:<10}"));
        let state = if state.is_empty() { String::new() } else { format!("  {}", self.state(state)) };
        self.line(format_args!("   {who} {what}{state}"));
    }

    /// Something happens to a task so many milliseconds after the question.
    pub(super) fn event(&mut self, who: &str, millis: f64, what: &str, text: &str) {
        let who = self.paint(CYAN, &format!("{who:<10}"));
        let what = self.state(&format!("{what:<10}"));
        self.line(format_args!("   {who} {millis:>4.0} ms  {what} {text}"));
    }

    /// What a crossing was.
    pub(super) fn hop(&mut self, hop: &Hop) {
        let Hop { operation, agent, address, from, to, first, bytes, millis, inside } = hop;
        let with = if *first { " with DNS and the TLS handshake" } else { "" };
        let lines = [
            format!("     ═ {operation} to {agent}, which DNS finds at {address}"),
            format!("       {from} ▶ {to}"),
            format!(
                "       {} bytes as JSON, {} as protobuf; {millis:.1} ms{with}, {inside:.1} ms of them in the agent's pod",
                bytes.json, bytes.protobuf
            ),
        ];
        for line in lines {
            let line = self.dim(&line);
            self.line(line);
        }
    }

    /// Somebody was refused: what the caller is told, and what the operator of the agent reads.
    pub(super) fn refusal(&mut self, told: &str, logged: &str) {
        let refused = self.paint(RED, &format!("{:<10}", "refused"));
        let logged = self.dim(&format!("     ═ currency's sidecar tells its operator why:\n       {logged}"));
        self.line(format_args!("   {refused} {told}\n{logged}"));
    }

    /// What it all came to.
    pub(super) fn totals(&mut self, bytes: Bytes, calls: usize, direct: f64, crossing: f64) {
        let less = 100_u64.saturating_sub(bytes.protobuf * 100 / bytes.json.max(1));
        let (size, time) = (self.bold("bytes"), self.bold("time "));
        self.line(format_args!(
            "{size}  {} as JSON on localhost, {} as protobuf between the pods: {less} % less",
            bytes.json, bytes.protobuf
        ));
        self.line(format_args!(
            "{time}  GetTask, best of {calls}: {direct:.2} ms straight to the planner, {crossing:.2} ms through two sidecars: {:.2} ms more",
            crossing - direct
        ));
    }

    /// A call that somebody else has made.
    pub(super) fn seen(&mut self, seen: &Seen) {
        let Seen { direction, agent, operation, peer, decision, reason, millis, bytes, .. } = seen;
        let peer = peer.as_deref().map(|peer| format!(" from {peer}")).unwrap_or_default();
        let outcome = match reason {
            Some(reason) => self.paint(RED, &format!("{decision}, {reason}")),
            None => self.paint(GREEN, decision),
        };
        let line = self.dim(&format!(
            "   {direction:<8} {operation} to {agent}{peer}: {bytes} bytes of protobuf, {millis:.1} ms,"
        ));
        self.line(format_args!("{line} {outcome}"));
    }

    /// Writes a line.
    pub(super) fn line(&mut self, line: impl Display) {
        if self.broken.is_none() {
            self.broken = writeln!(self.out, "{line}").and_then(|()| self.out.flush()).err();
        }
    }

    /// Something important.
    pub(super) fn bold(&self, text: &str) -> String {
        self.paint(BOLD, text)
    }

    /// Something for those who look closely.
    pub(super) fn dim(&self, text: &str) -> String {
        self.paint(DIM, text)
    }

    fn state(&self, state: &str) -> String {
        let color = match state.trim() {
            "COMPLETED" => GREEN,
            "INPUT_REQUIRED" => YELLOW,
            _ => DIM,
        };
        self.paint(color, state)
    }

    fn paint(&self, style: &str, text: &str) -> String {
        if self.colored { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const CYAN: &str = "36";

#[cfg(test)]
mod tests {
    use super::*;

    struct Full(io::ErrorKind);

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_who_leaves_is_no_failure_but_a_full_disk_is() {
        for (kind, fails) in [(io::ErrorKind::BrokenPipe, false), (io::ErrorKind::StorageFull, true)] {
            let mut screen = Screen::new(Box::new(Full(kind)), false);
            screen.drawing();
            assert_eq!(screen.finish().is_err(), fails, "{kind}");
        }
    }

    #[test]
    fn only_a_terminal_gets_colours() {
        for colored in [false, true] {
            let screen = Screen::new(Box::new(io::sink()), colored);
            assert_eq!(screen.state("COMPLETED").contains('\x1b'), colored);
        }
    }
}

//! Lines leave through a buffer and a thread of their own: who logs never waits for who reads the log. What the buffer
//! cannot take is dropped, counted and told.

use std::io::{self, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// The most bytes that wait to be written.
const WAITING_MAX: usize = 1 << 20;
/// So many bytes are worth a write at once; no more are kept allocated.
const PLENTY: usize = 64 << 10;

/// What the writer waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// How long a line may wait for others to be written with it.
    pub(super) gather: Duration,
    /// How long the end may take.
    pub(super) patience: Duration,
}

impl Default for Pace {
    /// Waking a thread for each line would cost a call several microseconds; 10 ms make that at most 100 wakes a second,
    /// and nobody reads faster. The price is that a process which is killed loses the lines of its last 10 ms, so
    /// warnings and errors do not wait. A reader that has stopped holds the end up for 2 s and no longer.
    fn default() -> Self {
        Self { gather: Duration::from_millis(10), patience: Duration::from_secs(2) }
    }
}

/// Where lines go. Clones lead to the same place.
#[derive(Clone, Debug)]
pub(super) struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// The writer has something to do.
    work: Condvar,
}

/// Lines that wait to be written.
#[derive(Debug, Default)]
struct Waiting {
    text: Vec<u8>,
    /// How many lines found no room since the last write.
    dropped: u64,
    /// Some line must not wait for others.
    urgent: bool,
    /// No more lines will come.
    closed: bool,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.text.is_empty() && self.dropped == 0
    }

    fn is_due(&self) -> bool {
        self.urgent || self.closed || self.text.len() >= PLENTY
    }
}

impl Lines {
    /// Takes a line with its end, if there is room. `urgent` ones are written without delay.
    pub(super) fn push(&self, line: &[u8], urgent: bool) {
        let mut waiting = self.waiting();
        let (was_empty, was_due) = (waiting.is_empty(), waiting.is_due());
        // After a gap nothing goes in before the gap is told.
        if waiting.dropped > 0 || waiting.text.len() + line.len() > WAITING_MAX {
            waiting.dropped += 1;
        } else {
            waiting.text.extend_from_slice(line);
        }
        waiting.urgent |= urgent;
        // The writer is woken to begin its wait, and to end it.
        let wake = was_empty || (!was_due && waiting.is_due());
        drop(waiting);
        if wake {
            self.0.work.notify_one();
        }
    }

    /// Waits for lines and takes all of them; how many are missing at their end. `None` when no more will come.
    fn take(&self, text: &mut Vec<u8>, gather: Duration) -> Option<u64> {
        let idle = |waiting: &mut Waiting| waiting.is_empty() && !waiting.closed;
        let waiting = self.0.work.wait_while(self.waiting(), idle).unwrap_or_else(PoisonError::into_inner);
        let gathers = |waiting: &mut Waiting| !waiting.is_due();
        let gathered = self.0.work.wait_timeout_while(waiting, gather, gathers);
        let (mut waiting, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        if waiting.is_empty() {
            return None;
        }
        std::mem::swap(text, &mut waiting.text);
        waiting.urgent = false;
        Some(std::mem::take(&mut waiting.dropped))
    }

    fn close(&self) {
        self.waiting().closed = true;
        self.0.work.notify_one();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One line of the text form, which arrives in one piece.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    lines: &'a Lines,
    urgent: bool,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Entry<'a>;

    fn make_writer(&'a self) -> Entry<'a> {
        Entry { lines: self, urgent: false }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Entry<'a> {
        Entry { lines: self, urgent: *metadata.level() <= Level::WARN }
    }
}

impl Write for Entry<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.push(line, self.urgent);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The owner of the thread that writes.
#[derive(Debug)]
pub(super) struct Writer {
    lines: Lines,
    patience: Duration,
    thread: Option<JoinHandle<()>>,
    /// The thread holds the other end and says nothing: it is gone when the thread has finished.
    finished: mpsc::Receiver<()>,
}

impl Writer {
    /// Starts to write to `out`; `dropped` writes the line that tells how many are missing.
    ///
    /// # Errors
    /// If no thread can be started.
    pub(super) fn start(
        out: impl Write + Send + 'static,
        pace: Pace,
        dropped: impl Fn(&mut Vec<u8>, u64) + Send + 'static,
    ) -> io::Result<(Lines, Self)> {
        let lines = Lines(Arc::default());
        let (running_tx, finished) = mpsc::channel();
        let source = lines.clone();
        let thread = thread::Builder::new().name("log".to_owned()).spawn(move || {
            write(&source, out, pace.gather, dropped);
            drop(running_tx);
        })?;
        let writer = Self { lines: lines.clone(), patience: pace.patience, thread: Some(thread), finished };
        Ok((lines, writer))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.lines.close();
        let finished = self.finished.recv_timeout(self.patience);
        if let (Err(RecvTimeoutError::Disconnected), Some(thread)) = (finished, self.thread.take()) {
            // It does not panic, and if it did, there would be no log to say so.
            drop(thread.join());
        }
    }
}

fn write(lines: &Lines, mut out: impl Write, gather: Duration, dropped: impl Fn(&mut Vec<u8>, u64)) {
    let (mut text, mut lost) = (Vec::new(), 0);
    while let Some(missing) = lines.take(&mut text, gather) {
        lost += missing;
        let whole = text.len();
        if lost > 0 {
            dropped(&mut text, lost);
        }
        match out.write_all(&text).and_then(|()| out.flush()) {
            Ok(()) => lost = 0,
            // There is no other place to say so: the next line that can be written tells how many could not.
            Err(_) => lost += text[..whole].iter().filter(|byte| **byte == b'\n').count() as u64,
        }
        text.clear();
        text.shrink_to(PLENTY);
    }
}

#[cfg(test)]
pub(super) mod tests;

//! Tests of the writer, with a reader that they hold.

use super::*;

/// A reader that a test holds: it keeps what it is given, a permit for each write.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Memory(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    writes: Vec<Vec<u8>>,
    /// How many writes have begun.
    begun: usize,
    /// How many writes may finish; without, all.
    permits: Option<usize>,
    /// How many writes fail.
    fails: usize,
}

/// How long the tests wait for what must come.
const SOON: Duration = Duration::from_secs(10);
/// Longer than any test.
const NEVER: Duration = Duration::from_secs(3600);

impl Memory {
    /// A reader that reads nothing yet.
    fn slow() -> Self {
        let memory = Self::default();
        memory.state().permits = Some(0);
        memory
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.0.1.notify_all();
    }

    /// Waits until a state is reached.
    fn until(&self, what: &str, reached: impl Fn(&State) -> bool) {
        let waited = self.0.1.wait_timeout_while(self.state(), SOON, |state| !reached(state)).unwrap();
        assert!(!waited.1.timed_out(), "{what}: {:?}", waited.0);
    }

    /// Everything that was written.
    pub(in super::super) fn text(&self) -> String {
        String::from_utf8(self.state().writes.concat()).unwrap()
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.change(|state| state.begun += 1);
        let mut state = self.0.1.wait_while(self.state(), |state| state.permits == Some(0)).unwrap();
        state.permits = state.permits.map(|permits| permits - 1);
        if state.fails > 0 {
            state.fails -= 1;
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        state.writes.push(bytes.to_owned());
        drop(state);
        self.0.1.notify_all();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn dropped(out: &mut Vec<u8>, lines: u64) {
    out.extend_from_slice(format!("{lines} dropped\n").as_bytes());
}

/// A writer that gathers until something is urgent.
pub(in super::super) fn start(memory: Memory) -> (Lines, Writer) {
    Writer::start(memory, Pace { gather: NEVER, patience: SOON }, dropped).unwrap()
}

#[test]
fn the_end_writes_what_was_gathered_in_its_order_and_at_once() {
    let memory = Memory::default();
    let (lines, writer) = start(memory.clone());
    for n in 0..100 {
        lines.push(format!("{n}\n").as_bytes(), false);
    }
    drop(writer);
    let expected: String = (0..100).map(|n| format!("{n}\n")).collect();
    assert_eq!(memory.text(), expected);
    assert_eq!(memory.state().writes.len(), 1);
}

#[test]
fn lines_of_many_threads_arrive_whole_and_each_threads_in_order() {
    let memory = Memory::default();
    let (lines, writer) = Writer::start(memory.clone(), Pace::default(), dropped).unwrap();
    thread::scope(|scope| {
        for name in ["a", "b", "c"] {
            let lines = lines.clone();
            scope.spawn(move || {
                for n in 0..5_000 {
                    lines.push(format!("{name} {n}\n").as_bytes(), n % 1_000 == 0);
                }
            });
        }
    });
    drop(writer);
    let text = memory.text();
    for name in ["a", "b", "c"] {
        let of_thread = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        assert!(of_thread.eq((0..5_000).map(|n| n.to_string())), "{name}");
    }
    assert_eq!(text.lines().count(), 15_000);
}

#[test]
fn a_line_that_is_urgent_is_written_at_once_with_those_before_it() {
    let memory = Memory::default();
    let (lines, _writer) = start(memory.clone());
    lines.push(b"info\n", false);
    lines.push(b"warn\n", true);
    memory.until("the warning", |state| state.writes.concat() == b"info\nwarn\n");
}

#[test]
fn a_lot_is_written_at_once() {
    let memory = Memory::default();
    let (lines, _writer) = start(memory.clone());
    lines.push(&[b'x'; PLENTY - 1], false);
    lines.push(b"\n", false);
    memory.until("all of it", |state| state.writes.concat().len() == PLENTY);
}

#[test]
fn a_line_does_not_wait_long_for_others() {
    let memory = Memory::default();
    let pace = Pace { gather: Duration::from_millis(1), patience: SOON };
    let (lines, _writer) = Writer::start(memory.clone(), pace, dropped).unwrap();
    lines.push(b"alone\n", false);
    memory.until("the line", |state| state.writes.concat() == b"alone\n");
}

#[test]
fn a_reader_that_is_too_slow_blocks_nobody_and_is_told_what_it_missed() {
    let memory = Memory::slow();
    let (lines, writer) = start(memory.clone());
    lines.push(b"first\n", true);
    memory.until("the first write", |state| state.begun == 1);
    // The reader is stuck with the first line. What now comes fits once, not twice.
    let line = [&[b'x'; 1023][..], b"\n"].concat();
    for _ in 0..2 * WAITING_MAX / line.len() {
        lines.push(&line, false);
    }
    // Nothing slips in after the gap, however short it is.
    lines.push(b"late\n", true);
    memory.change(|state| state.permits = None);
    memory.until("what fitted", |state| state.writes.len() == 2);
    lines.push(b"last\n", false);
    drop(writer);
    let missing = WAITING_MAX / line.len() + 1;
    let text = memory.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 1 + WAITING_MAX / line.len() + 2);
    assert_eq!((lines[0], lines[lines.len() - 1]), ("first", "last"));
    assert_eq!(lines[lines.len() - 2], format!("{missing} dropped"));
}

#[test]
fn a_line_longer_than_the_buffer_is_counted_as_missing() {
    let memory = Memory::default();
    let (lines, writer) = start(memory.clone());
    lines.push(&vec![b'x'; WAITING_MAX + 1], false);
    drop(writer);
    assert_eq!(memory.text(), "1 dropped\n");
}

#[test]
fn lines_that_could_not_be_written_are_told_when_some_can() {
    let memory = Memory::default();
    memory.state().fails = 2;
    let (lines, writer) = start(memory.clone());
    lines.push(b"1\n2\n", true);
    memory.until("the first write", |state| state.begun == 1);
    lines.push(b"3\n", true);
    memory.until("the second write", |state| state.begun == 2);
    lines.push(b"4\n", false);
    drop(writer);
    assert_eq!(memory.text(), "4\n3 dropped\n");
}

#[test]
fn a_reader_that_has_stopped_does_not_hold_the_end_up() {
    let memory = Memory::slow();
    let pace = Pace { gather: NEVER, patience: Duration::from_millis(1) };
    let (lines, writer) = Writer::start(memory.clone(), pace, dropped).unwrap();
    lines.push(b"stuck\n", true);
    memory.until("the write", |state| state.begun == 1);
    drop(writer);
    assert_eq!(memory.text(), "");
    memory.change(|state| state.permits = None);
}

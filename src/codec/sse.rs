//! Server-sent events (WHATWG HTML §9.2) as A2A uses them: each event's data is one JSON text.

use bytes::{Buf as _, Bytes, BytesMut};
use memchr::memchr2;

/// A comment that keeps a silent stream alive: clients take no notice, but proxies and read timeouts do.
pub const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// Writes one event around the data that `write` adds, which must be one line.
///
/// # Errors
/// Those of `write`.
pub fn write_event<E>(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
    out.extend_from_slice(b"data: ");
    write(out)?;
    out.extend_from_slice(b"\n\n");
    Ok(())
}

/// An event is larger than allowed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an event of more than {0} bytes")]
pub struct TooLarge(pub usize);

/// Cuts a byte stream into the data of its events: any line ending, any field order, comments skipped.
#[derive(Debug)]
pub struct Reader {
    buffer: BytesMut,
    /// How far the buffer is known to hold no line ending.
    scanned: usize,
    /// The last line ended with CR: an LF that follows belongs to it.
    after_cr: bool,
    /// Whether anything but a byte order mark has been read.
    begun: bool,
    /// The data lines of the event so far.
    data: Option<Bytes>,
    limit: usize,
}

impl Reader {
    /// A reader of events with data of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), scanned: 0, after_cr: false, begun: false, data: None, limit }
    }

    /// Takes the next piece of the stream.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The data of the next event that is complete.
    ///
    /// # Errors
    /// If an event has more data than allowed.
    pub fn event(&mut self) -> Result<Option<Bytes>, TooLarge> {
        while let Some(line) = self.line() {
            if line.is_empty() {
                if let Some(data) = self.data.take().filter(|data| !data.is_empty()) {
                    return Ok(Some(data));
                }
            } else {
                self.field(line)?;
            }
        }
        // "data: " and a line ending come on top.
        if self.buffer.len() > self.limit.saturating_add(8) { Err(TooLarge(self.limit)) } else { Ok(None) }
    }

    /// The data of an event that the end of the stream cut short of its blank line.
    ///
    /// # Errors
    /// If the event has more data than allowed.
    pub fn finish(&mut self) -> Result<Option<Bytes>, TooLarge> {
        self.push(b"\n\n");
        self.event()
    }

    fn line(&mut self) -> Option<Bytes> {
        const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
        if self.after_cr && !self.buffer.is_empty() {
            self.after_cr = false;
            if self.buffer[0] == b'\n' {
                self.buffer.advance(1);
                self.scanned = 0;
            }
        }
        if !self.begun {
            if BYTE_ORDER_MARK.starts_with(&self.buffer[..self.buffer.len().min(3)]) && self.buffer.len() < 3
            {
                return None;
            }
            self.begun = true;
            if self.buffer.starts_with(BYTE_ORDER_MARK) {
                self.buffer.advance(3);
            }
        }
        let end = memchr2(b'\n', b'\r', &self.buffer[self.scanned..]);
        let Some(end) = end.map(|end| end + self.scanned) else {
            self.scanned = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(end).freeze();
        self.after_cr = self.buffer[0] == b'\r';
        self.buffer.advance(1);
        self.scanned = 0;
        Some(line)
    }

    fn field(&mut self, line: Bytes) -> Result<(), TooLarge> {
        let Some(value) = line.strip_prefix(b"data") else { return Ok(()) };
        let value = match value {
            [] => value,
            [b':', b' ', value @ ..] | [b':', value @ ..] => value,
            _ => return Ok(()),
        };
        let data = match self.data.take() {
            None => line.slice_ref(value),
            Some(before) => [&before[..], value].join(&b'\n').into(),
        };
        if data.len() > self.limit {
            return Err(TooLarge(self.limit));
        }
        self.data = Some(data);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(stream: &[u8], piece: usize) -> Result<Vec<String>, TooLarge> {
        let mut reader = Reader::new(64);
        let mut events = Vec::new();
        for piece in stream.chunks(piece) {
            reader.push(piece);
            while let Some(data) = reader.event()? {
                events.push(String::from_utf8_lossy(&data).into_owned());
            }
        }
        events.extend(reader.finish()?.map(|data| String::from_utf8_lossy(&data).into_owned()));
        Ok(events)
    }

    #[test]
    fn what_the_sdks_send_is_read_however_it_arrives() {
        let streams: [(&[u8], &[&str]); 6] = [
            (b"data: {\"a\":1}\n\ndata: 2\n\n", &["{\"a\":1}", "2"]),
            (
                b": SSE stream started\r\n\r\ndata: 1\r\nid: 7\r\n\r\n: ping - 2026\r\n\r\ndata:2\r\n\r\n",
                &["1", "2"],
            ),
            (b"id: x\rdata: 1\r\revent: error\rdata: 2\r\r", &["1", "2"]),
            (b"\xEF\xBB\xBFdata: 1\ndata: 2\n\n", &["1\n2"]),
            (b"data: no blank line\n", &["no blank line"]),
            (b"data\n\nretry: 5\n\ndatabase: 1\n\ndata: end", &["end"]),
        ];
        for (stream, expected) in streams {
            for piece in 1..=stream.len() {
                assert_eq!(events(stream, piece).unwrap(), expected, "in pieces of {piece}");
            }
        }
    }

    #[test]
    fn an_event_is_bounded_even_if_its_line_never_ends() {
        assert_eq!(events(&[b'x'; 200], 7), Err(TooLarge(64)));
        assert_eq!(events(format!("data: {}\n\n", "x".repeat(65)).as_bytes(), 7), Err(TooLarge(64)));
        assert_eq!(events("data: xxxxxxxxx\n".repeat(9).as_bytes(), 7), Err(TooLarge(64)));
        assert_eq!(events(format!("data: {}\n\n", "x".repeat(64)).as_bytes(), 7).unwrap()[0].len(), 64);
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(stream in "(data: ?[a-c]{0,3}|:c|id:1|\r|\n|\r\n){0,24}", piece in 1..9_usize) {
            prop_assert_eq!(events(stream.as_bytes(), piece), events(stream.as_bytes(), stream.len().max(1)));
        }
    }
}

//! As much HTTP/1.1 as the agent and the load need, and no more: heads, bodies of known length, and chunks.

use std::io;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How many bytes of a body are kept; of longer ones the beginning.
const KEPT: usize = 64 << 10;
const READ: usize = 64 << 10;

/// A connection that one message after the other is read from.
pub(crate) struct Connection {
    stream: TcpStream,
    unread: BytesMut,
}

/// What is known of a message before its body.
pub(crate) struct Head {
    /// The first line.
    pub(crate) first: String,
    length: Length,
}

enum Length {
    Chunked,
    Known(usize),
}

impl Connection {
    /// A connection without delay.
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, unread: BytesMut::with_capacity(READ) })
    }

    /// Sends bytes.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next message's head, or nothing if the other side has closed.
    pub(crate) async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = self.unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let head = Head::read(&self.unread[..end])?;
                self.unread.advance(end + 4);
                return Ok(Some(head));
            }
            if self.more().await? == 0 {
                return if self.unread.is_empty() { Ok(None) } else { Err(wrong("half a head")) };
            }
        }
    }

    /// Reads the body into `kept`, as far as it is kept, and counts its bytes.
    pub(crate) async fn body(&mut self, head: &Head, kept: &mut Vec<u8>) -> io::Result<usize> {
        kept.clear();
        match head.length {
            Length::Known(length) => self.piece(length, kept).await.map(|()| length),
            Length::Chunked => self.chunks(kept).await,
        }
    }

    async fn chunks(&mut self, kept: &mut Vec<u8>) -> io::Result<usize> {
        let mut length = 0;
        loop {
            match self.chunk(kept).await? {
                0 => return Ok(length),
                size => length += size,
            }
        }
    }

    /// Reads one chunk of a body that comes in such, and says how long it was: the last one has no bytes.
    pub(crate) async fn chunk(&mut self, kept: &mut Vec<u8>) -> io::Result<usize> {
        let end = loop {
            match self.unread.windows(2).position(|bytes| bytes == b"\r\n") {
                Some(end) => break end,
                None if self.more().await? == 0 => return Err(wrong("half a chunk")),
                None => {}
            }
        };
        let line = String::from_utf8_lossy(&self.unread[..end]).into_owned();
        let size = usize::from_str_radix(&line, 16).map_err(|_| wrong("no chunk"))?;
        self.unread.advance(end + 2);
        self.piece(size, kept).await?;
        // The end of the chunk, or after the last one that of the trailers, of which there are none.
        self.piece(2, &mut Vec::new()).await?;
        Ok(size)
    }

    async fn piece(&mut self, mut left: usize, kept: &mut Vec<u8>) -> io::Result<()> {
        while left > 0 {
            if self.unread.is_empty() && self.more().await? == 0 {
                return Err(wrong("half a body"));
            }
            let here = left.min(self.unread.len());
            let room = here.min(KEPT - kept.len());
            kept.extend_from_slice(&self.unread[..room]);
            self.unread.advance(here);
            left -= here;
        }
        Ok(())
    }

    async fn more(&mut self) -> io::Result<usize> {
        self.unread.reserve(READ);
        self.stream.read_buf(&mut self.unread).await
    }
}

impl Head {
    fn read(head: &[u8]) -> io::Result<Self> {
        let text = std::str::from_utf8(head).map_err(|_| wrong("a head that is no text"))?;
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default().to_owned();
        let mut length = Length::Known(0);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                length = Length::Known(value.trim().parse().map_err(|_| wrong("no length"))?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                length = Length::Chunked;
            }
        }
        Ok(Self { first, length })
    }
}

/// The error of a message that is not what was expected.
pub(crate) fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

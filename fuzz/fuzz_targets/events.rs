//! Any stream of server-sent events: its events are the same, in however many pieces it comes.
#![no_main]

use dragoman::codec::sse::Reader;

const LIMIT: usize = 1 << 12;

/// The events of a stream that comes in these pieces, up to one that is too large.
fn events<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Option<Vec<u8>>> {
    let (mut reader, mut events) = (Reader::new(LIMIT), Vec::new());
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.event() {
                Ok(Some(event)) => events.push(Some(event.to_vec())),
                Ok(None) => break,
                Err(_) => {
                    events.push(None);
                    return events;
                }
            }
        }
    }
    match reader.finish() {
        Ok(last) => events.extend(last.map(|last| Some(last.to_vec()))),
        Err(_) => events.push(None),
    }
    events
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((size, stream)) = data.split_first() else { return };
    // A line that has not ended yet may be too large in one piece and be cut short in another.
    if stream.len() > LIMIT {
        return;
    }
    let whole = events(std::iter::once(stream));
    let pieces = events(stream.chunks(usize::from(*size).max(1)));
    assert_eq!(whole, pieces);
});

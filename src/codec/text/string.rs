//! The inside of JSON strings: how far a text stands for itself, and the escapes of what does not.

/// How many bytes the text starts with that stand for themselves in a JSON string: no quote, no backslash, no control
/// character.
#[inline]
pub(super) fn plain_len(text: &[u8]) -> usize {
    // Keys and short words end soon.
    text.first_chunk().and_then(special_in).unwrap_or_else(|| long_plain_len(text))
}

fn long_plain_len(text: &[u8]) -> usize {
    let (blocks, _) = text.as_chunks();
    let mut at = 16 * blocks.iter().take_while(|block| is_plain(block)).count();
    while let Some(word) = text[at..].first_chunk() {
        if let Some(special) = special_in(word) {
            return at + special;
        }
        at += 8;
    }
    at + plain_end(text, at)
}

/// Appends the bytes that the text starts with and that stand for themselves; how many they are.
#[inline]
pub(super) fn copy_plain(text: &[u8], out: &mut Vec<u8>) -> usize {
    text.first_chunk()
        .and_then(|word| copy_to_special(word, out))
        .unwrap_or_else(|| copy_long_plain(text, out))
}

/// Appends a word up to a special byte, if it has one; how many bytes stand before that.
#[inline]
fn copy_to_special(word: &[u8; 8], out: &mut Vec<u8>) -> Option<usize> {
    let special = special_in(word)?;
    // Copying all of it and taking back what was too much is faster than copying a part.
    out.extend_from_slice(word);
    out.truncate(out.len() - word.len() + special);
    Some(special)
}

fn copy_long_plain(text: &[u8], out: &mut Vec<u8>) -> usize {
    let plain = long_plain_len(text);
    out.extend_from_slice(&text[..plain]);
    plain
}

/// How many bytes stand for themselves at `at`, where fewer than a word are left; all before do.
fn plain_end(text: &[u8], at: usize) -> usize {
    let left = text.len() - at;
    match text.last_chunk() {
        Some(word) => special_in(word).map_or(left, |special| special + left - word.len()),
        None => text[at..].iter().position(|byte| is_special(*byte)).unwrap_or(left),
    }
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | ..0x20)
}

/// Whether no byte is special. One is if any of three differences is zero: that to a quote, to a backslash, and that by
/// which it is above the control characters. Without branches, so that the compiler takes all bytes at once.
#[inline]
fn is_plain(block: &[u8; 16]) -> bool {
    block.iter().fold(true, |plain, byte| {
        plain & ((byte ^ b'"').min(byte ^ b'\\').min(byte.saturating_sub(0x1F)) != 0)
    })
}

/// Where the first special byte stands.
#[inline]
fn special_in(word: &[u8; 8]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let word = u64::from_le_bytes(*word);
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    let quote = zeros(word ^ (ONES * u64::from(b'"')));
    let backslash = zeros(word ^ (ONES * u64::from(b'\\')));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    // The high bit of each special byte; bits above the lowest one may be wrong.
    let special = (quote | backslash | control) & HIGH;
    (special != 0).then(|| special.trailing_zeros() as usize / 8)
}

/// What a letter behind a backslash stands for.
#[inline]
pub(super) fn escaped(letter: u8) -> Option<u8> {
    /// Zero where there is no such escape: none stands for a zero byte.
    const ESCAPED: [u8; 256] = {
        let mut escaped = [0; 256];
        escaped[b'"' as usize] = b'"';
        escaped[b'/' as usize] = b'/';
        escaped[b'\\' as usize] = b'\\';
        escaped[b'b' as usize] = 8;
        escaped[b'f' as usize] = 0xC;
        escaped[b'n' as usize] = b'\n';
        escaped[b'r' as usize] = b'\r';
        escaped[b't' as usize] = b'\t';
        escaped
    };
    Some(ESCAPED[usize::from(letter)]).filter(|escaped| *escaped != 0)
}

/// Bytes that are known to be UTF-8. To make a `str` of them would take a look at each byte of a short text.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct Utf8<'a>(&'a [u8]);

impl<'a> Utf8<'a> {
    /// The same bytes, if they are a text.
    #[inline]
    pub(in super::super) fn new(bytes: &'a [u8]) -> Option<Self> {
        (bytes.is_ascii() || simdutf8::basic::from_utf8(bytes).is_ok()).then_some(Self(bytes))
    }

    /// As a `str`.
    pub(in super::super) fn as_str(self) -> &'a str {
        str::from_utf8(self.0).unwrap_or_default()
    }

    /// Writes the text as a JSON string.
    pub(in super::super) fn write(self, out: &mut Vec<u8>) {
        write_bytes(out, self.0);
    }
}

/// Writes a text as a JSON string.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    write_bytes(out, text.as_bytes());
}

fn write_bytes(out: &mut Vec<u8>, mut rest: &[u8]) {
    out.push(b'"');
    loop {
        rest = &rest[copy_plain(rest, out)..];
        let Some((special, after)) = rest.split_first() else { break };
        write_escape(out, *special);
        rest = after;
    }
    out.push(b'"');
}

fn write_escape(out: &mut Vec<u8>, special: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let escape = match special {
        b'"' | b'\\' => special,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        control => {
            let [high, low] = [control >> 4, control & 0xF].map(|digit| HEX[usize::from(digit)]);
            return out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
        }
    };
    out.extend_from_slice(&[b'\\', escape]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Scanner;
    use super::*;

    proptest! {
        #[test]
        fn every_text_survives_as_a_string(text in "\\PC*|[\\x00-\\x7F\u{80}-\u{10FFFF}]*") {
            let mut out = Vec::new();
            write_string(&mut out, &text);
            let written = String::from_utf8(out).unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text.clone());
            prop_assert_eq!(Scanner::new(&written).string().unwrap(), text);
        }

        #[test]
        fn special_bytes_are_found_wherever_they_stand(plain in 0..100_usize, special in 0..=u8::MAX, rest in 0..100_usize) {
            let text = [vec![b'~'; plain], vec![special], vec![0xC3; rest]].concat();
            let expected = if is_special(special) { plain } else { text.len() };
            let mut copy = Vec::new();
            prop_assert_eq!((plain_len(&text), copy_plain(&text, &mut copy)), (expected, expected));
            prop_assert_eq!(&copy, &text[..expected]);
        }
    }
}

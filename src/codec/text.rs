//! A scanner over JSON text (RFC 8259) that copies nothing and builds nothing; what strings hold is in `text/string`.

mod string;

use std::borrow::Cow;

pub(super) use self::string::Utf8;
pub use self::string::write_string;
use self::string::{copy_plain, escaped, plain_len};
use super::{Cause, Error, Result};

/// How deep a value may nest that is only stepped over.
const SKIP_DEPTH: usize = 512;

/// A place in a JSON text, moving forward token by token.
#[derive(Clone, Debug)]
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

/// A string that has been stepped into.
pub(super) enum Begun<'a> {
    /// What stands before the first escape, which comes next.
    Escaped(&'a str),
    /// All of it.
    Whole(&'a str),
}

impl<'a> Scanner<'a> {
    /// Starts at the beginning of a text.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Starts at the beginning of bytes that should be text.
    ///
    /// # Errors
    /// If they are no UTF-8.
    pub fn of_bytes(bytes: &'a [u8]) -> Result<Self> {
        simdutf8::compat::from_utf8(bytes)
            .map(Self::new)
            .map_err(|error| Cause::Syntax { expected: "UTF-8".into(), at: error.valid_up_to() }.into())
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn left(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    #[cold]
    fn unexpected(&self, expected: &str) -> Error {
        Cause::Syntax { expected: expected.to_owned(), at: self.at }.into()
    }

    #[cold]
    fn without(&self, byte: u8) -> Error {
        self.unexpected(&format!("'{}'", char::from(byte)))
    }

    /// The first byte of the next token, or `None` at the end of the text.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        match self.byte() {
            Some(b' ' | b'\n' | b'\r' | b'\t') => self.peek_past_space(),
            next => next,
        }
    }

    #[inline(never)]
    fn peek_past_space(&mut self) -> Option<u8> {
        while matches!(self.byte(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
        self.byte()
    }

    /// How many bytes are left.
    pub fn rest(&self) -> usize {
        self.text.len() - self.at
    }

    /// Steps over one byte of punctuation if it comes next.
    #[inline]
    pub fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Steps over one byte of punctuation.
    ///
    /// # Errors
    /// If something else comes next.
    #[inline]
    pub fn expect(&mut self, byte: u8) -> Result<()> {
        if self.take(byte) { Ok(()) } else { Err(self.without(byte)) }
    }

    /// Steps into an object; whether it has a member.
    ///
    /// # Errors
    /// If something else comes next.
    #[inline]
    pub fn begin_object(&mut self) -> Result<bool> {
        if self.take(b'{') { Ok(!self.take(b'}')) } else { Err(self.other_type("an object")) }
    }

    /// Steps into a list; whether it has an element.
    ///
    /// # Errors
    /// If something else comes next.
    #[inline]
    pub fn begin_list(&mut self) -> Result<bool> {
        if self.take(b'[') { Ok(!self.take(b']')) } else { Err(self.other_type("a list")) }
    }

    /// Steps past an element; whether another one follows.
    ///
    /// # Errors
    /// If neither a comma nor the end follows.
    #[inline]
    pub fn more(&mut self, close: u8) -> Result<bool> {
        match self.peek() {
            Some(byte) if byte == b',' || byte == close => {
                self.at += 1;
                Ok(byte == b',')
            }
            _ => Err(self.without_end(close)),
        }
    }

    #[cold]
    fn without_end(&self, close: u8) -> Error {
        self.unexpected(&format!("',' or '{}'", char::from(close)))
    }

    /// The key of a member, past its colon.
    ///
    /// # Errors
    /// If no key and colon come next.
    #[inline]
    pub fn key(&mut self) -> Result<Cow<'a, str>> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a key"));
        }
        let key = self.string()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// The four bytes behind the next one, which of a key is its quote.
    #[inline]
    pub(super) fn key_start(&mut self) -> Option<[u8; 4]> {
        self.peek();
        self.text.as_bytes().get(self.at + 1..)?.first_chunk().copied()
    }

    /// Checks that the text is over.
    ///
    /// # Errors
    /// If more follows.
    pub fn end(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end")),
        }
    }

    /// Steps over a literal if it comes next.
    #[inline]
    pub fn take_literal(&mut self, literal: &str) -> bool {
        self.peek();
        let found = self.text.as_bytes()[self.at..].starts_with(literal.as_bytes());
        self.at += if found { literal.len() } else { 0 };
        found
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// If a value of another type comes next, or none.
    pub fn bool(&mut self) -> Result<bool> {
        if self.take_literal("true") {
            Ok(true)
        } else if self.take_literal("false") {
            Ok(false)
        } else {
            Err(self.other_type("true or false"))
        }
    }

    /// The text of a number, in the grammar of JSON.
    ///
    /// # Errors
    /// If a value of another type comes next, or none.
    pub fn number(&mut self) -> Result<&'a str> {
        self.peek();
        let rest = &self.text[self.at..];
        let length = number_len(rest.as_bytes());
        if length == 0 {
            return Err(self.other_type("a number"));
        }
        self.at += length;
        Ok(&rest[..length])
    }

    /// A string, borrowed where it holds no escapes.
    ///
    /// # Errors
    /// If a value of another type comes next, or the string holds a control character, a bad escape or half a
    /// surrogate pair.
    #[inline]
    pub fn string(&mut self) -> Result<Cow<'a, str>> {
        match self.begin_string()? {
            Begun::Whole(text) => Ok(Cow::Borrowed(text)),
            Begun::Escaped(plain) => self.escaped(plain).map(Cow::Owned),
        }
    }

    /// A string that has been begun.
    #[cold]
    fn escaped(&mut self, plain: &str) -> Result<String> {
        let mut out = plain.as_bytes().to_vec();
        self.rest_of_string(&mut out)?;
        String::from_utf8(out).map_err(|_| self.unexpected("UTF-8"))
    }

    /// Steps over a string up to its end or its first escape.
    ///
    /// # Errors
    /// If a value of another type comes next.
    #[inline]
    pub(super) fn begin_string(&mut self) -> Result<Begun<'a>> {
        if !self.take(b'"') {
            return Err(self.other_type("a string"));
        }
        let start = self.at;
        self.at += plain_len(self.left());
        let plain = &self.text[start..self.at];
        if self.byte() == Some(b'"') {
            self.at += 1;
            return Ok(Begun::Whole(plain));
        }
        Ok(Begun::Escaped(plain))
    }

    /// Appends what follows in a string that was begun, without its escapes.
    ///
    /// # Errors
    /// If the string holds a control character, a bad escape or half a surrogate pair.
    pub(super) fn rest_of_string(&mut self, out: &mut Vec<u8>) -> Result<()> {
        loop {
            match *self.left() {
                [b'"', ..] => {
                    self.at += 1;
                    return Ok(());
                }
                [b'\\', b'u', ..] => {
                    out.extend_from_slice(self.unicode()?.encode_utf8(&mut [0; 4]).as_bytes());
                }
                [b'\\', letter, ..] => {
                    out.push(escaped(letter).ok_or_else(|| self.unexpected("an escape"))?);
                    self.at += 2;
                }
                [b'\\'] => return Err(self.unexpected("an escape")),
                [_, ..] => return Err(self.unexpected("no control character in a string")),
                [] => return Err(self.unexpected("the end of the string")),
            }
            self.at += copy_plain(self.left(), out);
        }
    }

    fn unicode(&mut self) -> Result<char> {
        let first = self.hex()?;
        let code = match first {
            0xD800..0xDC00 => {
                let second = self.hex().ok().filter(|low| (0xDC00..0xE000).contains(low));
                second.map(|low| 0x1_0000 + ((first - 0xD800) << 10) + (low - 0xDC00))
            }
            code => Some(code),
        };
        code.and_then(char::from_u32).ok_or_else(|| self.unexpected("both halves of a surrogate pair"))
    }

    /// `\uXXXX`
    fn hex(&mut self) -> Result<u32> {
        let digits = self.text.get(self.at..self.at + 6).and_then(|escape| escape.strip_prefix("\\u"));
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let code = code.ok_or_else(|| self.unexpected("\\u and four hexadecimal digits"))?;
        self.at += 6;
        Ok(code)
    }

    /// Steps over one value of any type and gives its text.
    ///
    /// # Errors
    /// If no value comes next.
    pub fn skip(&mut self) -> Result<&'a str> {
        self.peek();
        let start = self.at;
        self.skip_nested(0)?;
        Ok(&self.text[start..self.at])
    }

    fn skip_nested(&mut self, depth: usize) -> Result<()> {
        if depth > SKIP_DEPTH {
            return Err(Cause::TooDeep.into());
        }
        match self.peek() {
            Some(b'{') => {
                let mut more = self.begin_object()?;
                while more {
                    self.key()?;
                    self.skip_nested(depth + 1)?;
                    more = self.more(b'}')?;
                }
                Ok(())
            }
            Some(b'[') => {
                let mut more = self.begin_list()?;
                while more {
                    self.skip_nested(depth + 1)?;
                    more = self.more(b']')?;
                }
                Ok(())
            }
            Some(b'"') => self.string().map(drop),
            _ if ["true", "false", "null"].iter().any(|literal| self.take_literal(literal)) => Ok(()),
            _ => match number_len(&self.text.as_bytes()[self.at..]) {
                0 => Err(self.unexpected("a value")),
                length => {
                    self.at += length;
                    Ok(())
                }
            },
        }
    }

    /// The error of a value that has another type than it should, or is no value at all.
    #[cold]
    pub fn other_type(&mut self, expected: &str) -> Error {
        match self.peek() {
            Some(b'{' | b'[' | b'"' | b't' | b'f' | b'n' | b'-' | b'0'..=b'9') => {
                // Only a whole value has a type; what cannot be stepped over is a mistake in the text itself.
                let mut ahead = self.clone();
                match ahead.skip() {
                    Ok(found) => Error::invalid(format!("expected {expected}, found {}", excerpt(found))),
                    Err(error) => error,
                }
            }
            _ => self.unexpected(expected),
        }
    }
}

/// A value as an error message shows it: short, and without what a caller said.
fn excerpt(value: &str) -> &'static str {
    match value.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a truth value",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// How many bytes of a number the text starts with: `-? int frac? exp?` (RFC 8259 §6).
pub fn number_len(text: &[u8]) -> usize {
    let digits = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let mut at = usize::from(text.first() == Some(&b'-'));
    let integer = digits(at);
    if integer == 0 || (integer > 1 && text[at] == b'0') {
        return 0;
    }
    at += integer;
    if text.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return 0;
        }
        at += 1 + fraction;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at + 1 + sign);
        if exponent == 0 {
            return 0;
        }
        at += 1 + sign + exponent;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn strings_are_borrowed_until_an_escape_appears() {
        assert!(matches!(
            Scanner::new("\"plain, long enough\"").string(),
            Ok(Cow::Borrowed("plain, long enough"))
        ));
        let escaped = r#" "a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00z" "#;
        assert_eq!(Scanner::new(escaped).string().unwrap(), "a\"\\/\u{8}\u{c}\n\r\té😀z");
    }

    #[test]
    fn what_is_no_string_is_refused() {
        for text in
            ["\"open", "\"\u{1}\"", r#""\x""#, r#""\ud83d""#, r#""\ude00""#, r#""\ud83dA""#, r#""\u12""#]
        {
            assert!(
                matches!(Scanner::new(text).string().unwrap_err().cause(), Cause::Syntax { .. }),
                "{text}"
            );
        }
    }

    #[test]
    fn numbers_follow_the_grammar() {
        for text in ["0", "-0", "1", "12.50", "-1e5", "1E+9", "0.1e-2"] {
            assert_eq!(number_len(text.as_bytes()), text.len(), "{text}");
        }
        for text in ["", "-", "01", ".5", "1.", "1e", "1e+", "+1", "NaN", "Infinity"] {
            assert_eq!(number_len(text.as_bytes()), 0, "{text}");
        }
    }

    #[test]
    fn a_wrong_type_is_told_from_a_broken_text() {
        assert_eq!(Scanner::new("[1]").string().unwrap_err().to_string(), "expected a string, found a list");
        assert!(Scanner::new("[1").string().unwrap_err().to_string().starts_with("not JSON"));
        assert!(Scanner::new("").bool().unwrap_err().to_string().starts_with("not JSON"));
        assert!(Scanner::new("nul").skip().is_err());
    }

    #[test]
    fn stepping_over_has_a_bottom() {
        let deep = "[".repeat(100_000);
        assert_eq!(Scanner::new(&deep).skip().unwrap_err().cause(), &Cause::TooDeep);
    }

    proptest! {
        #[test]
        fn the_scanner_agrees_with_serde_json_on_what_json_is(text in "[\\[\\]{}\",:0-9eE+.a-z \\\\-]{0,24}") {
            let mut scan = Scanner::new(&text);
            let ours = scan.skip().and_then(|_| scan.end()).is_ok();
            prop_assert_eq!(ours, serde_json::from_str::<Box<serde_json::value::RawValue>>(&text).is_ok(), "{}", text);
        }
    }
}

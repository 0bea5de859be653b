//! Numbers in a `Value`: a double and, where that alone would print another text than was read, the text beside it in
//! field [`EXACT_NUMBER`], which any other reader of protobuf skips.

use super::super::text::number_len;
use super::super::wire::Writer;
use super::super::{EXACT_NUMBER, Error, Result};

/// Reads the text of a number into a `Value` that has been begun.
pub(super) fn read(text: &str, out: &mut Writer) -> Result<()> {
    let number: f64 = text.parse().map_err(|_| Error::invalid("not a number"))?;
    if !number.is_finite() {
        return Err(Error::invalid("no double is near this number"));
    }
    out.double(2, number)?;
    if is_surely_plain(number, text) || plain(number) == text.as_bytes() {
        Ok(())
    } else {
        out.private(EXACT_NUMBER, text.as_bytes())
    }
}

/// Whether a number surely prints as it was written: no two texts of so few digits mean the same double, so the shortest
/// is this one if it ends without a zero that says nothing.
fn is_surely_plain(number: f64, text: &str) -> bool {
    const DIGITS: usize = f64::DIGITS as usize;
    let digits = text.strip_prefix('-').unwrap_or(text);
    match digits.split_once('.') {
        None => digits.len() <= DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit()),
        Some((_, fraction)) => {
            digits.len() <= DIGITS
                && number.abs() >= SMALLEST
                && fraction.bytes().all(|digit| digit.is_ascii_digit())
                && !fraction.ends_with('0')
        }
    }
}

/// Numbers from here up print without an exponent.
const SMALLEST: f64 = 1e-6;
/// Numbers from here up print with an exponent.
const LARGEST: f64 = 1e21;

fn plain(number: f64) -> Vec<u8> {
    let mut text = Vec::new();
    write_plain(number, &mut text);
    text
}

/// How a double prints when nothing says how it was written: integers as such below 10²¹, the shortest text that reads
/// back as the same double otherwise.
fn write_plain(number: f64, out: &mut Vec<u8>) {
    #[expect(clippy::cast_possible_truncation, reason = "what was cut off makes it another number")]
    let whole = number as i32;
    if f64::from(whole).to_bits() == number.to_bits() {
        return out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    }
    let mut buffer = ryu_js::Buffer::new();
    match buffer.format_finite(number) {
        "0" => out.extend_from_slice(b"-0"),
        text if number.abs() >= LARGEST => out.extend(text.bytes().filter(|letter| *letter != b'+')),
        text => out.extend_from_slice(text.as_bytes()),
    }
}

/// Writes a number: its text, if that is it, or else as the double prints.
pub(super) fn write(number: f64, exact: Option<&str>, out: &mut Vec<u8>) -> Result<()> {
    match exact {
        Some(text) => {
            let is_number = !text.is_empty() && number_len(text.as_bytes()) == text.len();
            let rounds = text.parse::<f64>().is_ok_and(|rounded| rounded.to_bits() == number.to_bits());
            if !(is_number && rounds && number.is_finite()) {
                return Err(Error::invalid("the text of a number that is not that number"));
            }
            out.extend_from_slice(text.as_bytes());
        }
        None if number.is_finite() => write_plain(number, out),
        None => return Err(Error::invalid("JSON has no infinity and no NaN")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same by the library's own printing.
    fn plainly(number: f64) -> String {
        if number == 0.0 || (SMALLEST..LARGEST).contains(&number.abs()) {
            format!("{number}")
        } else {
            format!("{number:e}")
        }
    }

    #[test]
    fn the_shortest_text_that_reads_back_is_printed() {
        for text in [
            "0",
            "-0",
            "1",
            "-1",
            "350",
            "0.1",
            "-12.5",
            "1e21",
            "1.5e300",
            "-1e-7",
            "0.000001",
            "5e-324",
            "9007199254740992",
            "999999999999999900000",
            "1.7976931348623157e308",
            "2e-44",
        ] {
            let number = text.parse().unwrap();
            assert_eq!(plain(number), text.as_bytes());
            assert_eq!(plainly(number), text);
        }
    }

    #[test]
    fn of_two_texts_as_near_and_as_short_the_even_one_is_printed() {
        // As in JavaScript and Python: the double is 595375881091658.25.
        assert_eq!(plain(595375881091658.3), b"595375881091658.2");
    }

    proptest! {
        #[test]
        fn every_double_prints_as_short_as_the_library_prints_it(number in prop_oneof![
            any::<u64>().prop_map(f64::from_bits), any::<i64>().prop_map(|whole| whole as f64),
            (any::<i32>(), 0..20).prop_map(|(digits, place)| f64::from(digits) / 10_f64.powi(place)),
        ]) {
            prop_assume!(number.is_finite());
            let text = String::from_utf8(plain(number)).unwrap();
            prop_assert_eq!(text.len(), plainly(number).len());
            prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits());
        }

        #[test]
        fn what_surely_prints_as_it_was_written_does(text in "-?(0|[1-9][0-9]{0,16})(\\.[0-9]{1,16})?([eE]-?[0-9]{1,2})?") {
            let number = text.parse().unwrap();
            if is_surely_plain(number, &text) {
                prop_assert_eq!(plain(number), text.into_bytes());
            }
        }
    }
}

//! `google.protobuf.Timestamp` ⇄ RFC 3339.

use super::pieces::Pieces;
use super::wire::Writer;
use super::{Cause, Error, Result};

/// 0001-01-01T00:00:00Z
const FIRST: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z
const LAST: i64 = 253_402_300_799;
const DAY: i64 = 86_400;

/// A moment between the years 1 and 9999, to the nanosecond.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Timestamp {
    seconds: i64,
    nanos: u32,
}

/// Reads RFC 3339 with any offset and writes the message's fields.
pub(super) fn read(text: &str, out: &mut Writer) -> Result<()> {
    let timestamp =
        parse(text).ok_or_else(|| Error::invalid("not an RFC 3339 time such as 2026-11-22T09:30:00Z"))?;
    #[expect(clippy::cast_sign_loss, reason = "protobuf writes negative numbers as their two's complement")]
    if timestamp.seconds != 0 {
        out.varint(1, timestamp.seconds as u64)?;
    }
    if timestamp.nanos != 0 {
        out.varint(2, u64::from(timestamp.nanos))?;
    }
    Ok(())
}

/// Writes the message as RFC 3339 in UTC, with as many digits of a second as are needed: 0, 3, 6 or 9.
#[expect(clippy::cast_possible_wrap, reason = "protobuf writes negative numbers as their two's complement")]
pub(super) fn write(wire: &Pieces<'_>, out: &mut Vec<u8>) -> Result<()> {
    let (mut seconds, mut nanos) = (0, 0);
    for field in wire.fields() {
        let field = field?;
        match field.number {
            1 => seconds = field.value.varint()? as i64,
            2 => nanos = field.value.int32()?,
            _ => {}
        }
    }
    let nanos = u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let nanos = nanos.filter(|_| (FIRST..=LAST).contains(&seconds));
    let nanos = nanos.ok_or(Cause::Wire("a timestamp outside the years 1 to 9999"))?;
    out.extend_from_slice(format(Timestamp { seconds, nanos }).as_bytes());
    Ok(())
}

/// RFC 3339 with any offset, as [`write`] writes it; `None` if it is no such moment.
pub(super) fn normal(text: &str) -> Option<String> {
    parse(text).map(|moment| format(moment).trim_matches('"').to_owned())
}

fn format(Timestamp { seconds, nanos }: Timestamp) -> String {
    let (year, month, day) = date(seconds.div_euclid(DAY));
    let second = seconds.rem_euclid(DAY);
    let mut text = String::with_capacity(32);
    let mut put = |before: char, number: i64, digits: u32| {
        text.push(before);
        let digit = |place| number / 10_i64.pow(place) % 10;
        text.extend((0..digits).rev().map(|place| char::from(b'0' + digit(place).to_le_bytes()[0])));
    };
    put('"', year, 4);
    put('-', month, 2);
    put('-', day, 2);
    put('T', second / 3600, 2);
    put(':', second / 60 % 60, 2);
    put(':', second % 60, 2);
    match i64::from(nanos) {
        0 => {}
        nanos if nanos % 1_000_000 == 0 => put('.', nanos / 1_000_000, 3),
        nanos if nanos % 1_000 == 0 => put('.', nanos / 1_000, 6),
        nanos => put('.', nanos, 9),
    }
    text.push_str("Z\"");
    text
}

fn parse(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| digits(bytes.get(from..to)?);
    let punctuated = |at: usize, allowed: &[u8]| bytes.get(at).is_some_and(|byte| allowed.contains(byte));
    let shape = [(4, &b"-"[..]), (7, b"-"), (10, b"Tt "), (13, b":"), (16, b":")];
    if !shape.iter().all(|(at, allowed)| punctuated(*at, allowed)) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (nanos, rest) = fraction(text.get(19..)?)?;
    let seconds = days(year, month, day)? * DAY + hour * 3600 + minute * 60 + second - offset(rest)?;
    (FIRST..=LAST).contains(&seconds).then_some(Timestamp { seconds, nanos })
}

fn digits(bytes: &[u8]) -> Option<i64> {
    let digit = |number: i64, byte: &u8| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'));
    bytes.iter().try_fold(0, digit)
}

/// The nanoseconds of `.123…`, and what follows. Digits beyond the ninth must be zeros: nothing is cut off.
fn fraction(text: &str) -> Option<(u32, &str)> {
    let Some(rest) = text.strip_prefix('.') else { return Some((0, text)) };
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (fraction, rest) = rest.split_at(length);
    let (kept, dropped) = fraction.split_at(length.min(9));
    if kept.is_empty() || dropped.bytes().any(|digit| digit != b'0') {
        return None;
    }
    let scale = 10_i64.checked_pow(9 - u32::try_from(kept.len()).ok()?)?;
    Some((u32::try_from(digits(kept.as_bytes())? * scale).ok()?, rest))
}

/// The seconds that an offset is ahead of UTC.
fn offset(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let bytes = text.as_bytes();
    let sign = match bytes.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    if bytes.len() != 6 || bytes[3] != b':' {
        return None;
    }
    let (hours, minutes) = (digits(&bytes[1..3])?, digits(&bytes[4..6])?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Days since 1970-01-01 of a date that exists (H. Hinnant's civil calendar arithmetic: years begin in March, so that
/// the leap day is the last of a year).
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let march_year = year - i64::from(month <= 2);
    let era = march_year.div_euclid(400);
    let year_of_era = march_year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    // A day that does not exist, such as 30 February, comes back as another.
    ((1..=12).contains(&month) && date(days) == (year, month, day)).then_some(days)
}

/// The date of a number of days since 1970-01-01; the inverse of [`days`].
pub(crate) fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn through(text: &str) -> Option<String> {
        normal(text)
    }

    #[test]
    fn times_come_out_in_utc_with_the_digits_they_need() {
        for (given, expected) in [
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
            ("2026-11-22T09:30:00.5Z", "2026-11-22T09:30:00.500Z"),
            ("2026-11-22T09:30:00.000001+00:00", "2026-11-22T09:30:00.000001Z"),
            ("2024-02-29T23:59:59.123456789-01:30", "2024-03-01T01:29:59.123456789Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("9999-12-31t23:59:59.999999999000z", "9999-12-31T23:59:59.999999999Z"),
        ] {
            assert_eq!(through(given).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "now",
            "2026-11-22",
            "2026-11-22T09:30:00",
            "2026-02-30T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-10T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.1234567891Z",
            "2026-01-01T00:00:00+1:00",
            "2026-01-01T00:00:00+24:00",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "२०२६-01-01T00:00:00Z",
        ] {
            assert_eq!(through(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_moment_survives(seconds in FIRST..=LAST, nanos in 0..1_000_000_000_u32) {
            let text = format(Timestamp { seconds, nanos });
            prop_assert_eq!(parse(text.trim_matches('"')), Some(Timestamp { seconds, nanos }));
        }
    }
}

//! A moment as log lines show it: RFC 3339 in UTC, to the microsecond, written digit by digit.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::codec::timestamp::date;

const DAY: u64 = 86_400;

/// Writes `2026-11-22T09:30:00.000001Z`. A clock before 1970 is shown as 1970.
pub(super) fn write(out: &mut Vec<u8>, moment: SystemTime) {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / DAY, since.as_secs() % DAY);
    let (year, month, day) = date(days.cast_signed());
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    digits(&mut text[0..4], year.cast_unsigned());
    digits(&mut text[5..7], month.cast_unsigned());
    digits(&mut text[8..10], day.cast_unsigned());
    digits(&mut text[11..13], second / 3600);
    digits(&mut text[14..16], second / 60 % 60);
    digits(&mut text[17..19], second % 60);
    digits(&mut text[20..26], since.subsec_micros().into());
    out.extend_from_slice(&text);
}

/// Fills a place with the last digits of a number.
pub(super) fn digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn written(seconds: u64, micros: u32) -> String {
        let mut out = Vec::new();
        write(&mut out, UNIX_EPOCH + Duration::new(seconds, micros * 1000 + 999));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn moments_are_written_to_the_microsecond() {
        for (seconds, micros, expected) in [
            (0, 0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399, 999_999, "2000-02-28T23:59:59.999999Z"),
            (951_782_400, 1, "2000-02-29T00:00:00.000001Z"),
            (1_795_339_800, 120_034, "2026-11-22T09:30:00.120034Z"),
            (253_402_300_799, 0, "9999-12-31T23:59:59.000000Z"),
        ] {
            assert_eq!(written(seconds, micros), expected);
        }
    }

    #[test]
    fn a_clock_before_1970_is_shown_as_1970() {
        let mut out = Vec::new();
        write(&mut out, UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(out, b"1970-01-01T00:00:00.000000Z");
    }
}

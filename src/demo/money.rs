//! Amounts of money, as people write them and as they are counted: whole hundredths, never floating point.

use std::fmt;

/// Currencies: the code, how much of it one US dollar buys (in millionths), and how many hundredths its smallest coin is.
/// The rates are made up, and stay so: the demo is the same every time.
const TABLE: [(&str, u64, u64); 6] = [
    ("CHF", 801_400, 5),
    ("EUR", 862_500, 1),
    ("GBP", 745_200, 1),
    ("JPY", 147_250_000, 100),
    ("KRW", 1_391_500_000, 100),
    ("USD", 1_000_000, 1),
];
/// The largest amount that is understood, in hundredths: ten thousand million.
const MOST: u64 = 1_000_000_000_000;

/// An amount of some currency.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Money {
    /// In hundredths.
    pub(super) hundredths: u64,
    /// Three letters, in capitals; perhaps no currency that anyone knows.
    pub(super) currency: String,
}

impl Money {
    /// Whole units of a currency.
    pub(super) fn whole(units: u64, currency: &str) -> Self {
        Self { hundredths: units.saturating_mul(100), currency: currency.to_owned() }
    }

    /// The last amount in a text: `900 USD`, `USD 900`, `$900` or `900 dollars`.
    pub(super) fn last_in(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(is_gap).map(trim).filter(|word| !word.is_empty()).collect();
        let pairs = words.windows(2).filter_map(|pair| match pair {
            [one, other] => {
                let money = |amount, code| Some(Self { hundredths: number(amount)?, currency: code });
                currency(other)
                    .and_then(|code| money(one, code))
                    .or_else(|| currency(one).and_then(|code| money(other, code)))
            }
            _ => None,
        });
        let signed = words.iter().filter_map(|word| {
            Some(Self { hundredths: number(word.strip_prefix('$')?)?, currency: "USD".to_owned() })
        });
        signed.chain(pairs).last()
    }

    /// The same worth in another currency, rounded to its smallest coin; nothing if one of them is not known.
    pub(super) fn into_currency(self, code: &str) -> Option<Self> {
        let (from, _) = rate(&self.currency)?;
        let (to, coin) = rate(code)?;
        let exact = u128::from(self.hundredths) * u128::from(to);
        let unit = u128::from(from) * u128::from(coin);
        let coins = (exact + unit / 2) / unit;
        let hundredths = u64::try_from(coins * u128::from(coin)).ok()?;
        Some(Self { hundredths, currency: code.to_owned() })
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = (self.hundredths / 100).to_string();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        match self.hundredths % 100 {
            0 => {}
            rest => write!(f, ".{rest:02}")?,
        }
        write!(f, " {}", self.currency)
    }
}

/// The codes of all currencies that are known.
pub(super) fn currencies() -> String {
    TABLE.map(|(code, ..)| code).join(", ")
}

/// The codes of currencies in a text, in their order.
pub(super) fn codes_in(text: &str) -> Vec<String> {
    text.split(is_gap).map(trim).filter_map(currency).collect()
}

fn rate(code: &str) -> Option<(u64, u64)> {
    TABLE.iter().find(|(known, ..)| *known == code).map(|(_, rate, coin)| (*rate, *coin))
}

fn is_gap(char: char) -> bool {
    char.is_whitespace() || matches!(char, ';' | ':' | '(' | ')')
}

fn trim(word: &str) -> &str {
    word.trim_matches(['.', ',', '!', '?'])
}

/// Three capital letters, or a word for dollars.
fn currency(word: &str) -> Option<String> {
    let code = word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_uppercase());
    let dollars = word.eq_ignore_ascii_case("dollars") || word.eq_ignore_ascii_case("usd");
    match (code, dollars) {
        (_, true) => Some("USD".to_owned()),
        (true, false) => Some(word.to_owned()),
        (false, false) => None,
    }
}

/// `1,250.50` in hundredths.
fn number(word: &str) -> Option<u64> {
    let (units, cents) = word.split_once('.').unwrap_or((word, ""));
    let units: u64 = units.replace(',', "").parse().ok()?;
    let cents = match cents.len() {
        0 => 0,
        1 => cents.parse::<u64>().ok()? * 10,
        2 => cents.parse().ok()?,
        _ => return None,
    };
    units.checked_mul(100)?.checked_add(cents).filter(|hundredths| *hundredths <= MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<String> {
        Money::last_in(text).map(|money| money.to_string())
    }

    #[test]
    fn amounts_are_found_however_people_write_them() {
        for (text, expected) in [
            ("Three days in Seoul for 900 USD, please", "900 USD"),
            ("at most USD 1,250.5.", "1,250.50 USD"),
            ("$900 should do", "900 USD"),
            ("1200 dollars", "1,200 USD"),
            ("100 EUR, no, make that 200 EUR", "200 EUR"),
            ("7 XYZ", "7 XYZ"),
        ] {
            assert_eq!(found(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["Three days in Seoul", "3 days", "USD", "1.234 USD", "99999999999999 USD", ""] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn worth_is_kept_and_rounded_to_the_smallest_coin() {
        for (amount, from, to, expected) in [
            (900, "USD", "KRW", "1,252,350 KRW"),
            (1, "JPY", "USD", "0.01 USD"),
            (100, "EUR", "JPY", "17,072 JPY"),
            (0, "GBP", "CHF", "0 CHF"),
        ] {
            let money = Money::whole(amount, from).into_currency(to).unwrap();
            assert_eq!(money.to_string(), expected);
        }
        assert_eq!(Money::whole(1, "XYZ").into_currency("USD"), None);
        assert_eq!(Money::whole(1, "USD").into_currency("XYZ"), None);
    }
}

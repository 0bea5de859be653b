//! The words that somebody looks for an agent by.

/// Some words, of which each must be found. Case does not count.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Words(Vec<String>);

impl Words {
    /// The words of a text, which space stands between.
    pub fn of(text: &str) -> Self {
        Self(text.split_whitespace().map(str::to_lowercase).collect())
    }

    /// Whether each word stands in one of the texts; no words stand in all.
    pub fn are_in<'a>(&self, texts: impl Iterator<Item = &'a str>) -> bool {
        self.found_in(texts) == self.0.len()
    }

    /// How many of the words stand in one of the texts.
    pub fn found_in<'a>(&self, texts: impl Iterator<Item = &'a str>) -> usize {
        if self.0.is_empty() {
            return 0;
        }
        let mut missing: Vec<&String> = self.0.iter().collect();
        for text in texts.map(str::to_lowercase) {
            missing.retain(|word| !text.contains(*word));
            if missing.is_empty() {
                break;
            }
        }
        self.0.len() - missing.len()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_must_stand_somewhere() {
        let texts = ["currency.travel.east", "Convert Ährenpreise", "money"];
        for (words, found) in [
            ("", true),
            ("  ", true),
            ("CONVERT", true),
            ("money convert", true),
            ("ähre rrency", true),
            ("money hotel", false),
        ] {
            assert_eq!(Words::of(words).are_in(texts.into_iter()), found, "{words:?}");
        }
        assert_eq!(Words::of("money hotel currency").found_in(texts.into_iter()), 2);
    }
}

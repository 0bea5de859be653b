//! What is wrong with a config file, and where.

use std::{cell::RefCell, fmt};

/// A position in the file. Line and column count from 1, the column in characters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Mark {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Mark {
    /// Where a file begins.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// Where it is.
    pub at: Mark,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.at.line, self.at.column, self.message)
    }
}

/// Why a config file cannot be used. It prints one line per problem: `FILE:LINE:COL: what is wrong`.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ConfigErrors {
    /// The file did not get as far as being read.
    #[error("{file}: {reason}")]
    Unreadable {
        /// The file's path as it was given.
        file: String,
        /// Why it could not be read.
        reason: String,
    },
    /// The file says something that is not right.
    #[error("{}", lines(file, problems))]
    Wrong {
        /// The file's path as it was given.
        file: String,
        /// Everything that was found, in the order of the file. Never empty.
        problems: Vec<Problem>,
    },
}

impl ConfigErrors {
    /// The exit code of a command that was given such a file (`EX_USAGE`).
    pub const EXIT_CODE: u8 = 64;
}

fn lines(file: &str, problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(|problem| format!("{file}:{problem}")).collect();
    lines.join("\n")
}

/// Where the stages of reading a file write down what they find, so that one mistake does not hide the next.
#[derive(Debug, Default)]
pub(super) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    /// Writes one down.
    pub(super) fn add(&self, at: Mark, message: impl Into<String>) {
        self.0.borrow_mut().push(Problem { at, message: message.into() });
    }

    /// All of them, in the order of the file.
    pub(super) fn into_sorted(self) -> Vec<Problem> {
        let mut problems = self.0.into_inner();
        problems.sort_by_key(|problem| problem.at);
        problems
    }
}

/// The mark left behind where a value could not be had: the problem is already written down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Refused;

/// A text from the file as a message shows it: in quotes, not endless, and without what stands before an `@`, which in
/// a URL may be a password.
pub(super) fn quote(text: &str) -> String {
    /// As much as helps to find it again.
    const SHOWN: usize = 60;
    let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
    let shown = match text.rsplit_once('@') {
        Some((_, host)) if !scheme.is_empty() => format!("{scheme}://…@{host}"),
        Some((_, host)) => format!("…@{host}"),
        None => text.to_owned(),
    };
    match shown.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", shown.split_at(end).0),
        None => format!("{shown:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_come_out_in_the_order_of_the_file() {
        let problems = Problems::default();
        problems.add(Mark { line: 3, column: 1 }, "third");
        problems.add(Mark { line: 1, column: 9 }, "second");
        problems.add(Mark { line: 1, column: 2 }, "first");
        let problems = problems.into_sorted();
        let errors = ConfigErrors::Wrong { file: "a.yaml".into(), problems };
        assert_eq!(errors.to_string(), "a.yaml:1:2: first\na.yaml:1:9: second\na.yaml:3:1: third");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(quote("a\"b"), r#""a\"b""#);
        let long = "ü".repeat(61);
        assert_eq!(quote(&long), format!("\"{}\"…", "ü".repeat(60)));
    }

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(quote("http://me:s3cret/@x@host/path"), "\"http://…@host/path\"");
        assert_eq!(quote("me:s3cret@host"), "\"…@host\"");
    }
}

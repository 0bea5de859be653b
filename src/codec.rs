//! ProtoJSON text ⇄ protobuf wire bytes in one pass each way, driven by one schema table. Bytes in, bytes out, no IO.
//!
//! What JSON says and protobuf cannot travels in private fields beside it (`docs/wire.md`): the exact text of a number in
//! [`EXACT_NUMBER`], members that the schema does not know in [`CARRIED`].

pub mod details;
mod form;
pub mod jsonrpc;
mod pieces;
mod read;
pub mod schema;
pub mod sse;
pub mod text;
pub(crate) mod timestamp;
mod tree;
pub mod v0_3;
mod value;
pub mod wire;
mod write;

use std::fmt::{self, Write as _};

pub use form::Form;
pub use read::{Reader, Reading, read, read_value};
use write::write_keeping;
pub use write::{write, write_value};

use crate::a2a::{Fault, Reason};

/// In any message of the protocol: a `google.protobuf.Struct` of JSON members that the schema does not know.
pub const CARRIED: u32 = 52_602;
/// In a `google.protobuf.Value`: the text of a number that the double alone does not tell.
pub const EXACT_NUMBER: u32 = 52_603;
/// In any message of the protocol: a `google.protobuf.Struct` of what A2A 0.3 says and 1.0 cannot.
pub const KEPT_FIELD: u32 = 52_604;
/// The member that stands for it in a JSON of 1.0 on its way from or to 0.3, and nowhere else.
const KEPT: &str = "0.3";
/// How many messages may nest below the outermost one, as upb and prost allow.
pub const DEPTH_MAX: usize = 100;

/// How many letters of a name an error shows: what a caller sends may be as long as the message.
const NAME_SHOWN: usize = 64;

type Result<T, E = Error> = std::result::Result<T, E>;

/// Why bytes could not be turned into the other form, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug, PartialEq)]
struct Inner {
    cause: Cause,
    /// Innermost step first.
    path: Vec<Step>,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Cause {
    /// Well-formed, but not what the schema asks for.
    #[error("{0}")]
    Invalid(String),
    /// No JSON: what was expected, and the byte where it was not found.
    #[error("not JSON: expected {expected} at byte {at}")]
    Syntax {
        /// What would have been right.
        expected: String,
        /// Offset in the text.
        at: usize,
    },
    /// More messages inside each other than [`DEPTH_MAX`].
    #[error("nested deeper than {DEPTH_MAX} protobuf messages")]
    TooDeep,
    /// The canonical form has more bytes than allowed.
    #[error("larger than {limit} bytes as protobuf")]
    TooLarge {
        /// The most bytes that are allowed.
        limit: usize,
    },
    /// No protobuf wire bytes.
    #[error("not protobuf: {0}")]
    Wire(&'static str),
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Index(usize),
    Name(String),
}

impl Error {
    #[cold]
    fn invalid(what: impl Into<String>) -> Self {
        Cause::Invalid(what.into()).into()
    }

    /// The same error, seen from the message that has the member.
    #[cold]
    fn within(mut self, name: &str) -> Self {
        let shown = match name.char_indices().nth(NAME_SHOWN) {
            Some((end, _)) => format!("{}…", name.get(..end).unwrap_or_default()),
            None => name.to_owned(),
        };
        self.0.path.push(Step::Name(shown));
        self
    }

    /// The same error, seen from the list that has the element.
    #[cold]
    fn at(mut self, index: usize) -> Self {
        self.0.path.push(Step::Index(index));
        self
    }

    /// What is wrong.
    pub fn cause(&self) -> &Cause {
        &self.0.cause
    }

    /// Where it is wrong, such as `message.parts[2].raw`; empty for the whole.
    pub fn path(&self) -> String {
        let mut path = String::new();
        for step in self.0.path.iter().rev() {
            // Writing into a String cannot fail.
            let written = match step {
                Step::Index(index) => write!(path, "[{index}]"),
                Step::Name(name) if path.is_empty() => write!(path, "{name}"),
                Step::Name(name) => write!(path, ".{name}"),
            };
            debug_assert!(written.is_ok());
        }
        path
    }

    /// The fault of a caller whose request cannot be read.
    pub fn of_request(&self) -> Fault {
        match self.cause() {
            Cause::Syntax { .. } => Fault::new(Reason::ParseError, self.to_string()),
            Cause::TooLarge { .. } => Fault::new(Reason::MessageTooLarge, self.to_string()),
            cause => {
                Fault::new(Reason::InvalidParams, self.to_string()).violation(self.path(), cause.to_string())
            }
        }
    }

    /// The fault of an agent whose reply cannot be read.
    pub fn of_reply(&self) -> Fault {
        match self.cause() {
            Cause::TooLarge { .. } => {
                Fault::new(Reason::MessageTooLarge, format!("the agent's reply is {self}"))
            }
            _ => Fault::new(Reason::AgentProtocolError, format!("the agent's reply cannot be read: {self}")),
        }
    }
}

impl From<Cause> for Error {
    fn from(cause: Cause) -> Self {
        Self(Box::new(Inner { cause, path: Vec::new() }))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.path.is_empty() {
            write!(f, "{}", self.0.cause)
        } else {
            write!(f, "{}: {}", self.path(), self.0.cause)
        }
    }
}

impl std::error::Error for Error {}

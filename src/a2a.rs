//! The vocabulary: what an agent is asked, what it answers, what can go wrong, who is who. No IO, no clock.

mod call;
mod fault;
mod name;
mod name_pattern;
mod operation;
mod params;

pub use call::{Agent, Binding, Body, Call, Dialect, Event, Reply, Stage};
pub use fault::{A2A_DOMAIN, AgentError, DRAGOMAN_DOMAIN, Fault, Reason, Row, TABLE, Violation};
pub use name::{Home, Name, NameError, host, is_label, without_port};
pub use name_pattern::{NamePattern, NamePatternError};
pub use operation::Operation;
pub use params::{A2A_EXTENSIONS, A2A_VERSION, DRAGOMAN_AGENT, Params};

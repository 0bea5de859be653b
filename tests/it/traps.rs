//! Everything that SDKs do to each other, and what two dialects can do to a message: each trap is a test, over whichever pairs
//! of a caller and an agent can fall into it.

/// Cards, and what is believed of them.
mod cards;
/// What one dialect says and the other cannot.
mod dialect;
/// Ids, results and errors around what is said.
mod envelope;
/// What is said when something is wrong.
mod errors;
/// What travels beside the body.
mod headers;
/// Which method is which operation, and who speaks what.
mod methods;
/// Streams, and how they end.
mod streams;
/// Webhooks of tasks.
mod webhooks;

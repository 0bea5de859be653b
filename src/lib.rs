//! Dragoman, an A2A mesh sidecar. This page is the map: each room uses only rooms below it, and within one level those
//! further left.
//!
//! ```text
//! 6 composition   main · cli · demo · app · config
//! 5 programs      admin · directory · kube
//! 4 paths         outbound · inbound
//! 3 abilities     discovery · balance · policy · card · binding
//! 2 ground        task · drain · telemetry · identity · tls · net
//! 1 codec         schema · wire · text · tree · read · write · v0_3 · jsonrpc · sse
//! 0 words         proto · a2a
//! ```

pub mod a2a;
pub mod admin;
pub mod app;
pub mod balance;
pub mod binding;
pub mod card;
pub mod cli;
pub mod codec;
pub mod config;
pub mod demo;
pub mod directory;
pub mod discovery;
pub mod drain;
pub mod identity;
pub mod inbound;
pub mod kube;
pub mod net;
pub mod outbound;
pub mod policy;
pub mod proto;
pub mod task;
pub mod telemetry;
pub mod tls;

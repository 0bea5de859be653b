//! The path from peers to the local agents: the mesh door, policy, and the agents on plain HTTP.

mod door;
mod local;

pub use door::Door;
pub use local::{Local, Neighbour};

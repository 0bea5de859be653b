//! The path from peers to the local agents: the mesh door, policy, and the agents on plain HTTP.

mod door;
mod local;
mod neighbour;

pub use door::Door;
pub use local::Local;
pub use neighbour::{Clients, Neighbour};

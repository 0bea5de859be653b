//! The path from the local agent to any other: the door on localhost, and the way through the mesh.

mod address;
mod agents;
mod door;
mod expected;
mod forward;
mod mesh;
mod route;
mod tenant;

pub use address::{Address, Hosts, NoAddress};
pub use agents::{Agents, Known};
pub use door::{Check, Door};
pub use expected::Expected;
pub use mesh::Mesh;

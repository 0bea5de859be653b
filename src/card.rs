//! Cards (specification §8): rewritten so that whoever reads one talks through the mesh, checked, and served.

pub mod canonical;
pub mod key;
pub mod signature;

//! The role that knows all agents.

use super::Ground;
use crate::app::StartError;

/// Starts it.
pub(super) async fn start(_ground: &mut Ground<'_>) -> Result<(), StartError> {
    Ok(())
}

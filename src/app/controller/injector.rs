//! The role that puts sidecars into pods, and a Service in front of every agent.

use super::Ground;
use crate::app::StartError;

/// Starts it.
pub(super) async fn start(_ground: &mut Ground<'_>) -> Result<(), StartError> {
    Ok(())
}

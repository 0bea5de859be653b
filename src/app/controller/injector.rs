//! The role that puts sidecars into pods, and a Service in front of every agent.

use super::{Ground, services};
use crate::app::StartError;

/// Starts it.
pub(super) async fn start(ground: &mut Ground<'_>) -> Result<(), StartError> {
    services::start(ground);
    Ok(())
}

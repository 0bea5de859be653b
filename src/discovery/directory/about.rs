//! What a directory says of itself: that it answers, which version it is, what time it is there.

use std::time::SystemTime;

use super::{Directory, Unlisted};
use crate::proto::mesh::ListAgentsRequest;

/// What a directory says of itself.
#[derive(Clone, Debug)]
pub struct About {
    /// Its version, if it is a Dragoman.
    pub version: Option<String>,
    /// Its clock, to a second.
    pub date: Option<SystemTime>,
}

impl Directory {
    /// Asks it for as little as can be asked for.
    ///
    /// # Errors
    /// If it cannot be asked, or says no.
    pub async fn about(&self) -> Result<About, Unlisted> {
        let mut client = self.client().await?;
        let request = ListAgentsRequest { page_size: 1, brief: true, ..ListAgentsRequest::default() };
        let answer = self.within(client.list_agents(request)).await?;
        let text = |name| answer.metadata().get(name).and_then(|value| value.to_str().ok());
        let version = text("server").and_then(|server| server.strip_prefix("dragoman/"));
        let date = text("date").and_then(|date| httpdate::parse_http_date(date).ok());
        Ok(About { version: version.map(str::to_owned), date })
    }
}

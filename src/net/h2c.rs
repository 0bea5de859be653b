//! Connections to the agents of this pod that serve gRPC: HTTP/2 without TLS, one for each host and port.

use std::error::Error;
use std::fmt;

use http::Uri;
use http::uri::{Authority, Scheme};
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::time::timeout;
use tower::ServiceExt as _;

use super::http2::{Connection, Manner, Pool, Settings, Unreachable};
use super::{describe, http1};

/// The connections that stand or are being made. Clones share them.
#[derive(Clone)]
pub struct Agents {
    connector: HttpConnector,
    settings: Settings,
    pool: Pool<Authority>,
}

impl Agents {
    /// No connections yet.
    pub fn new(settings: Settings) -> Self {
        Self { connector: http1::connector(settings.connect), settings, pool: Pool::default() }
    }

    /// The connection to the host of a URL. Many callers share one attempt.
    ///
    /// # Errors
    /// If there is none to be had.
    pub async fn connection(&self, url: &Uri) -> Result<Connection, Unreachable> {
        let authority = url.authority().ok_or_else(|| Unreachable::Silent("the URL names no host".into()))?;
        let connect = || connect(self.connector.clone(), self.settings, url.clone(), authority.clone());
        self.pool.connection(authority, connect).await
    }
}

impl fmt::Debug for Agents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agents").field("settings", &self.settings).finish_non_exhaustive()
    }
}

async fn connect(
    connector: HttpConnector,
    settings: Settings,
    url: Uri,
    authority: Authority,
) -> Result<Connection, Unreachable> {
    let silent = {
        let authority = authority.clone();
        move |error: &(dyn Error + 'static)| {
            Unreachable::Silent(format!("{authority}: {}", describe(error)).into())
        }
    };
    let io = match timeout(settings.connect, connector.oneshot(url)).await {
        Ok(connected) => connected.map_err(|error| silent(&error))?,
        Err(late) => return Err(silent(&late)),
    };
    let stream_window = settings.stream_window;
    // No PINGs: gRPC servers hang up on who sends them more often than every five minutes while a stream is silent. Here
    // the kernel knows when the agent is gone.
    let manner = Manner { scheme: Scheme::HTTP, authority, stream_window, pings: false };
    let explain = silent.clone();
    let connection = Connection::over(io.into_inner(), manner, None, move |ended| ended.map(explain));
    connection.await.map_err(|error| silent(&error))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http::uri::PathAndQuery;
    use http::{HeaderMap, Response};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;
    use tokio_util::task::AbortOnDropHandle;

    use super::super::http2::Unanswered;
    use super::*;
    use crate::task;

    const SETTINGS: Settings = Settings { connect: Duration::from_secs(2), stream_window: 1 << 16 };

    /// An agent that answers everything, tells the number of each connection that it is asked on, and after so many
    /// answers on one says goodbye.
    async fn agent(answers: usize) -> (Uri, mpsc::UnboundedReceiver<usize>, AbortOnDropHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/any/path", listener.local_addr().unwrap()).parse().unwrap();
        let (asked_tx, asked) = mpsc::unbounded_channel();
        let serving = task::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let mut http = h2::server::handshake(stream).await.unwrap();
                let mut count = 0;
                while let Some(Ok((request, mut respond))) = http.accept().await {
                    assert_eq!((request.uri().scheme_str(), request.uri().path()), (Some("http"), "/x"));
                    respond.send_response(Response::new(()), true).unwrap();
                    asked_tx.send(connection).ok();
                    count += 1;
                    if count == answers {
                        http.graceful_shutdown();
                    }
                }
            }
        });
        (url, asked, serving)
    }

    async fn ask(agents: &Agents, url: &Uri) -> Result<(), Unanswered> {
        let connection = agents.connection(url).await.unwrap();
        let sent =
            connection.send(PathAndQuery::from_static("/x"), HeaderMap::new(), [Bytes::new()].into_iter());
        sent.await.map(drop)
    }

    #[tokio::test]
    async fn one_connection_takes_all_calls_and_another_one_follows_when_it_has_ended() {
        let (url, mut asked, _serving) = agent(2).await;
        let agents = Agents::new(SETTINGS);
        let mut connections = Vec::new();
        while connections.len() < 4 {
            // One that ends just then never had the call.
            match ask(&agents, &url).await {
                Ok(()) => connections.push(asked.recv().await.unwrap()),
                Err(Unanswered::NeverSent(_)) => {}
                Err(lost) => panic!("{lost:?}"),
            }
        }
        assert_eq!(connections, [0, 0, 1, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_agent_is_not_pinged() {
        const PREFACE: usize = 24;
        const HEAD: usize = 9;
        const PING: u8 = 6;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let agents = Agents::new(SETTINGS);
        let _connection = agents.connection(&url).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        tokio::time::sleep(Duration::from_secs(240)).await;
        stream.readable().await.unwrap();
        let mut bytes = [0; 4096];
        let length = stream.try_read(&mut bytes).unwrap();
        let mut frames = &bytes[PREFACE..length];
        assert!(!frames.is_empty());
        while let Some(head) = frames.first_chunk::<HEAD>() {
            assert_ne!(head[3], PING);
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            frames = &frames[HEAD + usize::try_from(length).unwrap()..];
        }
    }

    #[tokio::test]
    async fn nobody_at_home_is_told() {
        let (url, _, serving) = agent(1).await;
        drop(serving);
        tokio::task::yield_now().await;
        let error = Agents::new(SETTINGS).connection(&url).await.unwrap_err().to_string();
        assert!(error.starts_with(url.authority().unwrap().as_str()), "{error}");
        let error = Agents::new(SETTINGS).connection(&Uri::from_static("/path")).await.unwrap_err();
        assert_eq!(error.to_string(), "the URL names no host");
    }
}

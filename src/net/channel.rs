//! The way that clients of gRPC services speak over a connection of ours.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::uri::PathAndQuery;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame};
use tonic::body::Body;
use tower::Service;

use super::http2::{Answer, Connection, Unanswered};
use super::{BodyError, collect, describe};

/// The most bytes of a request.
const REQUEST_MAX: usize = 1 << 20;

/// A tonic client's channel. It stands as long as the connection does, and keeps it.
#[derive(Clone, Debug)]
pub struct Channel(Connection);

/// Why a request got no response.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The request itself.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// It may have been processed.
    #[error("the connection broke: {0}")]
    Lost(String),
    /// It was surely not processed.
    #[error("{0}")]
    NeverSent(String),
}

/// The body of a response, which keeps its connection.
#[derive(Debug)]
pub struct Held {
    answer: Answer,
    _connection: Connection,
}

impl Channel {
    pub(super) fn new(connection: Connection) -> Self {
        Self(connection)
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Held>;
    type Error = Broken;
    type Future = BoxFuture<'static, Result<Response<Held>, Broken>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let connection = self.0.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = collect(body, REQUEST_MAX).await?;
            let path = head.uri.path_and_query().cloned();
            let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
            let sent = connection.send(path, head.headers, std::iter::once(body)).await;
            let response = sent.map_err(|error| match error {
                Unanswered::Lost(error) => Broken::Lost(describe(&error)),
                Unanswered::NeverSent(reason) => Broken::NeverSent(reason.to_string()),
            })?;
            Ok(response.map(|answer| Held { answer, _connection: connection }))
        }
        .boxed()
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        Pin::new(&mut self.answer).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.answer.is_end_stream()
    }
}

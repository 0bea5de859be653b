//! A connection that one client of a gRPC service has to itself: plain HTTP/2 over whatever it is given.

use std::task::{Context, Poll};

use futures_util::{FutureExt as _, future::BoxFuture};
use http::{Request, Response};
use http_body_util::{BodyExt as _, combinators::MapFrame};
use hyper::{
    body::{Bytes, Frame, Incoming},
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Status, body::Body};
use tower::Service;

use super::{describe, details::sanitize};
use crate::task;

/// A tonic client's channel.
pub(super) struct Single(SendRequest<Body>);

/// What the connection's task ends with: nothing, because whoever waits for an answer hears why there is none.
pub(super) type Driver = AbortOnDropHandle<()>;
/// An answer's body, in which no details are that tonic could stumble over.
type Answer = MapFrame<Incoming, fn(Frame<Bytes>) -> Frame<Bytes>>;

/// Speaks HTTP/2 over `io`.
pub(super) async fn speak<I>(io: I) -> Result<(Single, Driver), String>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new());
    let (requests, connection) = http.handshake(TokioIo::new(io)).await.map_err(|error| describe(&error))?;
    let driver = task::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "A connection for gRPC broke");
        }
    });
    Ok((Single(requests), driver))
}

fn trailers(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            sanitize(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

impl Service<Request<Body>> for Single {
    type Response = Response<Answer>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answered = self.0.send_request(request);
        async move {
            let mut answer = answered.await?;
            sanitize(answer.headers_mut());
            Ok(answer.map(|body| body.map_frame(trailers as fn(Frame<Bytes>) -> Frame<Bytes>)))
        }
        .boxed()
    }
}

/// A status that no service has sent is one that tonic has made of an error: that one says more.
pub(super) fn reason(status: &Status) -> String {
    match std::error::Error::source(status) {
        Some(cause) => describe(cause),
        None => status.message().to_owned(),
    }
}

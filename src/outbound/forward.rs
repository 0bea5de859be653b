//! Passing a proxy request on to a host outside the mesh that `outbound.forward` lists.

use http::{Request, Response, header};
use hyper::body::Incoming;
use tonic::body::Body;

use crate::a2a::{Fault, Reason};
use crate::net::{describe, http1};

/// Headers that belong to the hop to this proxy (RFC 9110 §7.6.1).
const OF_THE_HOP: [&str; 7] = [
    "connection",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Sends the request as it is to the host that it names.
pub(super) async fn forward(
    http: &http1::Client,
    request: Request<Incoming>,
) -> Result<Response<Body>, Fault> {
    let mut request = request.map(Body::new);
    let named: Vec<String> = request
        .headers()
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    for name in OF_THE_HOP.into_iter().chain(named.iter().map(String::as_str)) {
        request.headers_mut().remove(name);
    }
    let response = http.request(request).await.map_err(|error| {
        Fault::new(Reason::AgentUnreachable, "the host outside the mesh cannot be reached")
            .because(describe(&error))
    })?;
    Ok(response.map(Body::new))
}

//! Faults as plain HTTP answers, for requests that are no call of any binding.

use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::json;
use tonic::Code;
use tonic::body::Body;

use crate::a2a::Fault;

/// A fault under an HTTP status, with a body in the shape of HTTP+JSON (A2A specification §11.6).
pub fn refusal(status: StatusCode, fault: &Fault) -> Response<Body> {
    let row = fault.row();
    let info = json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": row.name,
        "domain": row.domain,
    });
    let error = json!({"error": {
        "code": status.as_u16(),
        "status": name(row.grpc),
        "message": fault.message(),
        "details": [info],
    }});
    let mut response = Response::new(Body::new(Full::from(error.to_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    fault.params().append_to(headers);
    if let Some(after) = fault.retry_info() {
        // Whole seconds, rounded up.
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.entry(header::RETRY_AFTER).or_insert_with(|| HeaderValue::from(seconds));
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The name of a gRPC status as `google.rpc.Code` spells it.
fn name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_the_names_of_google_rpc() {
        assert_eq!(name(Code::InvalidArgument), "INVALID_ARGUMENT");
        assert_eq!(name(Code::Ok), "OK");
    }
}

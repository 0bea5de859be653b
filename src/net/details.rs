//! The details of a gRPC status, before tonic sees them.

use http::{HeaderMap, HeaderName};

/// Where they travel.
pub const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// Takes details out of headers if they are no base64: tonic takes them for granted, and panics.
pub fn sanitize(headers: &mut HeaderMap) {
    let valid = headers.get(DETAILS).is_none_or(|details| {
        let details = details.as_bytes();
        let unpadded = details.strip_suffix(b"==").or_else(|| details.strip_suffix(b"=")).unwrap_or(details);
        base64_simd::STANDARD_NO_PAD.check(unpadded).is_ok()
    });
    if !valid || headers.get_all(DETAILS).iter().count() > 1 {
        headers.remove(DETAILS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_detail_in_base64_stays() {
        for (values, stays) in [
            (&["AAAA"][..], true),
            (&["AAA="], true),
            (&["AAA"], true),
            (&["!"], false),
            (&["AAAA", "AAAA"], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(DETAILS, value.parse().unwrap());
            }
            sanitize(&mut headers);
            assert_eq!(headers.contains_key(DETAILS), stays, "{values:?}");
        }
    }
}

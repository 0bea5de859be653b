//! A card, or its original, as an answer to GET and HEAD (specification §8.6): validators, conditions, caching.

use std::time::{Duration, SystemTime};

use aws_lc_rs::digest;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use crate::a2a::Dialect;
use crate::codec::schema::AGENT_CARD;
use crate::codec::{self, Cause, text::Scanner};

/// What the answer depends on beside the URL: it holds for every answer, so that caches keep them apart.
pub const VARY: HeaderValue = HeaderValue::from_static("A2A-Version, Host");
/// The media type of cards.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A card as it is served.
#[derive(Clone, Debug)]
pub struct Served {
    body: Bytes,
    /// Strong, over the body: quotes included.
    etag: String,
    last_modified: Option<SystemTime>,
}

impl Served {
    /// The JSON of a card, for who asks in that dialect. Callers of 0.3 do not say so, and cannot be told from those that
    /// forget to: they get a card that both can read.
    ///
    /// # Errors
    /// If the card is no protobuf of one.
    pub fn card(
        card: &[u8],
        dialect: Dialect,
        last_modified: Option<SystemTime>,
    ) -> Result<Self, codec::Error> {
        let mut json = Vec::with_capacity(card.len() * 2);
        match dialect {
            Dialect::V0_3 => codec::v0_3::card::write_hybrid(card, &mut json)?,
            Dialect::V1_0 => codec::write(&AGENT_CARD, card, &mut json)?,
        }
        Ok(Self::new(json.into(), last_modified))
    }

    /// The text that the agent sent, which lies beside the card; `None` if it does not.
    ///
    /// # Errors
    /// If what lies there is no JSON object.
    pub fn original(card: &[u8], last_modified: Option<SystemTime>) -> Result<Option<Self>, codec::Error> {
        let Some(json) = super::original(card)? else { return Ok(None) };
        let mut scan = Scanner::new(json);
        if scan.peek() != Some(b'{') {
            return Err(Cause::Invalid("the original is no JSON object".into()).into());
        }
        scan.skip()?;
        scan.end()?;
        Ok(Some(Self::new(Bytes::copy_from_slice(json.as_bytes()), last_modified)))
    }

    /// JSON that is there already: an agent's own text of its card, or a document about cards.
    pub fn new(body: Bytes, last_modified: Option<SystemTime>) -> Self {
        let hash = digest::digest(&digest::SHA256, &body);
        let etag = format!("\"{}\"", base64_simd::URL_SAFE_NO_PAD.encode_to_string(hash));
        Self { body, etag, last_modified }
    }

    /// The JSON text.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Answers a GET or HEAD with these headers. The card may be kept for `max_age`.
    pub fn answer(&self, method: &Method, request: &HeaderMap, max_age: Duration) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        let headers = response.headers_mut();
        headers.insert(header::VARY, VARY);
        let modified = self.last_modified.map(httpdate::fmt_http_date);
        let texts = [
            (header::ETAG, Some(self.etag.clone())),
            (header::LAST_MODIFIED, modified),
            (header::CACHE_CONTROL, Some(format!("max-age={}", max_age.as_secs()))),
        ];
        for (name, text) in texts {
            // Base64, digits and dates are always header values.
            headers.extend(text.and_then(|text| HeaderValue::try_from(text).ok()).map(|text| (name, text)));
        }
        if self.is_known(request) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, JSON);
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        if method != Method::HEAD {
            *response.body_mut() = self.body.clone();
        }
        response
    }

    /// Whether the caller says that it has this card already (RFC 9110 §13.1): by its ETag or else by its date.
    fn is_known(&self, request: &HeaderMap) -> bool {
        let mut etags = request.get_all(header::IF_NONE_MATCH).iter().peekable();
        if etags.peek().is_some() {
            let mut etags = etags.filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(','));
            // No comma is in an ETag of ours, so splitting a foreign one apart matches nothing that it should not.
            return etags.any(|etag| {
                let etag = etag.trim();
                etag == "*" || etag.strip_prefix("W/").unwrap_or(etag) == self.etag
            });
        }
        let since = request.get(header::IF_MODIFIED_SINCE).and_then(|date| date.to_str().ok());
        let since = since.and_then(|date| httpdate::parse_http_date(date).ok());
        match (since, self.last_modified) {
            (Some(since), Some(modified)) => {
                // Dates in headers have whole seconds.
                let seconds = |time: SystemTime| {
                    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
                };
                seconds(modified) <= seconds(since)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::attach_original;
    use crate::codec::Reading;

    const AGE: Duration = Duration::from_secs(60);

    fn card(json: &str) -> Vec<u8> {
        codec::read(&AGENT_CARD, json, Reading::Reply, 1 << 20).unwrap()
    }

    fn modified() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_500)
    }

    fn served() -> Served {
        Served::card(&card(r#"{"name":"A"}"#), Dialect::V1_0, Some(modified())).unwrap()
    }

    fn status(name: header::HeaderName, value: &str) -> StatusCode {
        let headers = HeaderMap::from_iter([(name, value.parse().unwrap())]);
        served().answer(&Method::GET, &headers, AGE).status()
    }

    #[test]
    fn an_answer_says_how_long_it_may_be_kept_and_how_to_ask_again() {
        let response = served().answer(&Method::GET, &HeaderMap::new(), AGE);
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.body().starts_with(br#"{"name":"A""#));
        let header = |name| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header(header::CACHE_CONTROL), "max-age=60");
        assert_eq!(header(header::VARY), "A2A-Version, Host");
        assert_eq!(header(header::LAST_MODIFIED), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(header(header::CONTENT_TYPE), "application/json");
        let etag = header(header::ETAG);
        assert_eq!((etag.len(), &etag[..1], &etag[44..]), (45, "\"", "\""));
        assert_eq!(etag, served().etag);
        let other = Served::card(&card(r#"{"name":"B"}"#), Dialect::V1_0, None).unwrap();
        assert_ne!(other.etag, served().etag);
        assert!(
            !other.answer(&Method::GET, &HeaderMap::new(), AGE).headers().contains_key(header::LAST_MODIFIED)
        );
    }

    #[test]
    fn head_is_get_without_the_body() {
        let get = served().answer(&Method::GET, &HeaderMap::new(), AGE);
        let head = served().answer(&Method::HEAD, &HeaderMap::new(), AGE);
        assert_eq!(head.headers(), get.headers());
        assert_eq!(head.headers()[header::CONTENT_LENGTH], get.body().len().to_string());
        assert!(head.body().is_empty());
    }

    #[test]
    fn who_has_the_card_is_not_sent_it_again() {
        let own = served().etag;
        for (name, value, expected) in [
            (header::IF_NONE_MATCH, own.clone(), 304),
            (header::IF_NONE_MATCH, format!("W/{own}"), 304),
            (header::IF_NONE_MATCH, format!("\"a,b\", W/\"c\" ,{own}"), 304),
            (header::IF_NONE_MATCH, "*".into(), 304),
            (header::IF_NONE_MATCH, "\"other\"".into(), 200),
            (header::IF_NONE_MATCH, own.trim_matches('"').into(), 200),
            (header::IF_NONE_MATCH, String::new(), 200),
            (header::IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:37 GMT".into(), 304),
            (header::IF_MODIFIED_SINCE, "Sunday, 06-Nov-94 08:49:38 GMT".into(), 304),
            (header::IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:36 GMT".into(), 200),
            (header::IF_MODIFIED_SINCE, "yesterday".into(), 200),
        ] {
            assert_eq!(status(name, &value), expected, "{value}");
        }
        let mut both = HeaderMap::from_iter([(header::IF_NONE_MATCH, "\"other\"".parse().unwrap())]);
        both.insert(header::IF_MODIFIED_SINCE, "Sun, 06 Nov 2094 08:49:37 GMT".parse().unwrap());
        assert_eq!(served().answer(&Method::GET, &both, AGE).status(), StatusCode::OK);
        let known = HeaderMap::from_iter([(header::IF_NONE_MATCH, own.parse().unwrap())]);
        let response = served().answer(&Method::GET, &known, AGE);
        assert!(response.body().is_empty());
        for name in [header::ETAG, header::VARY, header::CACHE_CONTROL, header::LAST_MODIFIED] {
            assert!(response.headers().contains_key(&name), "{name}");
        }
    }

    #[test]
    fn the_original_is_served_to_the_letter_if_it_is_json() {
        let mut wire = card(r#"{"name":"A"}"#);
        assert!(Served::original(&wire, None).unwrap().is_none());
        let json = "{ \"name\" : \"A\" , \"n\":1.00 }\n";
        attach_original(&mut wire, json);
        assert_eq!(Served::original(&wire, None).unwrap().unwrap().body(), json);
        for bad in ["<html>", "[]", "{} x", ""] {
            attach_original(&mut wire, bad);
            assert!(Served::original(&wire, None).is_err(), "{bad}");
        }
    }
}

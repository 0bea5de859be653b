//! A2A over gRPC (specification §10): canonical bytes as they are, in gRPC's frames.

mod client;
mod details;
mod exchange;
mod messages;
mod probe;
mod replies;
mod server;
mod services;
mod status;

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
pub use client::{Client, PlainClient};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue};
pub use probe::Probe;
pub use server::{Back, Routed, Server, refuse};
pub use services::{Services, Undescribed};

use crate::a2a::Operation;

/// The path of the service, before the operation's name.
pub const SERVICE: &str = "/lf.a2a.v1.A2AService/";
/// The path of the card between sidecars, before the operation's name: A2A has no RPC for it.
const MESH_SERVICE: &str = "/dragoman.v1.Mesh/";

const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const CONTENT_TYPE_GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
/// How a sidecar names itself to another one, which may then send more details than a foreign client can take.
/// What we call ourselves, in `User-Agent` and `Server`.
pub const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("dragoman/", env!("CARGO_PKG_VERSION")));

/// Whether a request comes from another sidecar.
fn is_sidecar(headers: &HeaderMap) -> bool {
    headers.get(http::header::USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(b"dragoman/"))
}

/// The operation of a path.
fn operation(path: &str) -> Option<Operation> {
    match path.strip_prefix(MESH_SERVICE) {
        Some(name) => Operation::named(name).filter(|operation| *operation == Operation::GetAgentCard),
        None => path.strip_prefix(SERVICE).and_then(Operation::rpc),
    }
}

/// The path of an operation.
fn path(operation: Operation) -> PathAndQuery {
    let service = if operation == Operation::GetAgentCard { MESH_SERVICE } else { SERVICE };
    // An operation's name is always a path.
    format!("{service}{operation}").try_into().unwrap_or_else(|_| PathAndQuery::from_static("/"))
}

/// The most bytes of a message that is copied behind its prefix; a larger one goes apart.
const SMALL: usize = 4 << 10;

/// A message with its prefix (gRPC over HTTP/2, "Length-Prefixed-Message"), uncompressed.
fn framed(message: Bytes) -> impl Iterator<Item = Bytes> {
    let small = message.len() <= SMALL;
    let mut first = BytesMut::with_capacity(5 + if small { message.len() } else { 0 });
    if small {
        put_framed(&message, &mut first);
    } else {
        put_prefix(message.len(), &mut first);
    }
    std::iter::once(first.freeze()).chain((!small).then_some(message))
}

fn put_framed(message: &[u8], out: &mut BytesMut) {
    put_prefix(message.len(), out);
    out.put_slice(message);
}

fn put_prefix(length: usize, out: &mut BytesMut) {
    out.put_u8(0);
    // limits.message is below 2 GiB.
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
}

/// The compressions that are understood.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Compression {
    Gzip,
    None,
}

/// The compression of a body; `Err` names one that we do not speak.
fn compression(headers: &HeaderMap) -> Result<Compression, String> {
    match headers.get(GRPC_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity") => Ok(Compression::None),
        Some(b"gzip") => Ok(Compression::Gzip),
        Some(other) => Err(String::from_utf8_lossy(other).into_owned()),
    }
}

/// `grpc-timeout`: at most eight digits and a unit.
fn read_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

/// A duration as `grpc-timeout`, in the finest unit that fits eight digits.
fn write_timeout(timeout: Duration) -> String {
    const FITS: u128 = 99_999_999;
    let units = [(timeout.as_nanos(), 'n'), (timeout.as_micros(), 'u'), (timeout.as_millis(), 'm')];
    match units.into_iter().find(|(amount, _)| *amount <= FITS) {
        Some((amount, unit)) => format!("{amount}{unit}"),
        None => format!("{}S", u128::from(timeout.as_secs()).min(FITS)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_survive_in_a_unit_that_fits() {
        for (timeout, text) in [
            (Duration::from_nanos(7), "7n"),
            (Duration::from_millis(1500), "1500000u"),
            (Duration::from_secs(3600), "3600000m"),
            (Duration::from_secs(1 << 40), "99999999S"),
        ] {
            assert_eq!(write_timeout(timeout), text);
        }
        let headers =
            |text: &'static str| HeaderMap::from_iter([(GRPC_TIMEOUT, HeaderValue::from_static(text))]);
        assert_eq!(read_timeout(&headers("2H")), Some(Duration::from_secs(7200)));
        assert_eq!(read_timeout(&headers("1500000u")), Some(Duration::from_millis(1500)));
        for text in ["", "5", "S", "-1S", "123456789S", "1x"] {
            assert_eq!(read_timeout(&headers(text)), None, "{text}");
        }
    }

    #[test]
    fn a_frame_is_its_prefix_and_the_message() {
        for length in [0, 1, 4096, 4097, 70_000] {
            let message = Bytes::from(vec![7; length]);
            let frame: Vec<u8> = framed(message.clone()).flatten().collect();
            assert_eq!(frame[0], 0);
            assert_eq!(usize::try_from(u32::from_be_bytes(frame[1..5].try_into().unwrap())).unwrap(), length);
            assert_eq!(frame[5..], message);
        }
    }

    #[test]
    fn each_operation_has_one_path() {
        for each in Operation::ALL {
            assert_eq!(operation(path(each).path()), Some(each));
        }
        assert_eq!(operation("/dragoman.v1.Mesh/GetTask"), None);
        assert_eq!(operation("/lf.a2a.v1.A2AService/GetAgentCard"), None);
        assert_eq!(operation("/a2a.v1.A2AService/GetTask"), None);
    }
}

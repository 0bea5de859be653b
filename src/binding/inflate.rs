//! Compressed bodies, undone within a bound.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, HeaderValue, header};

/// The compressions that are understood.
pub(super) const ACCEPT: HeaderValue = HeaderValue::from_static("gzip, deflate");

/// Why a body cannot be had in plain.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// It is not what it says.
    #[error("the compressed body is broken: {0}")]
    Broken(#[from] io::Error),
    /// More bytes than allowed.
    #[error("the body has more than {0} bytes")]
    TooLarge(usize),
    /// A compression that nobody asked for.
    #[error("the body is compressed with {0:?}, and neither gzip nor deflate")]
    Unknown(String),
}

/// The body as it was before it was compressed, of at most `limit` bytes.
pub(super) fn inflate(headers: &HeaderMap, body: Bytes, limit: usize) -> Result<Bytes, Unreadable> {
    let mut plain = body;
    let codings = headers.get_all(header::CONTENT_ENCODING).iter();
    let codings: Vec<String> = codings
        .flat_map(|list| {
            String::from_utf8_lossy(list.as_bytes())
                .split(',')
                .map(|one| one.trim().to_ascii_lowercase())
                .collect::<Vec<_>>()
        })
        .filter(|coding| !coding.is_empty() && coding != "identity")
        .collect();
    // The one applied last is named last.
    for coding in codings.iter().rev() {
        plain = match coding.as_str() {
            "gzip" | "x-gzip" => read(MultiGzDecoder::new(&*plain), limit)?,
            // Deflate means zlib (RFC 9110 §8.4.1.2), but some send it bare.
            "deflate" => match read(ZlibDecoder::new(&*plain), limit) {
                Err(Unreadable::Broken(_)) => read(DeflateDecoder::new(&*plain), limit)?,
                done => done?,
            },
            other => return Err(Unreadable::Unknown(other.chars().take(40).collect())),
        };
    }
    if plain.len() > limit { Err(Unreadable::TooLarge(limit)) } else { Ok(plain) }
}

/// A gzipped message, of at most `limit` bytes when it is plain.
pub(super) fn gunzip(message: &[u8], limit: usize) -> Result<Bytes, Unreadable> {
    read(MultiGzDecoder::new(message), limit)
}

fn read(decoder: impl Read, limit: usize) -> Result<Bytes, Unreadable> {
    let mut plain = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(most).read_to_end(&mut plain)?;
    if plain.len() > limit { Err(Unreadable::TooLarge(limit)) } else { Ok(plain.into()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    const TEXT: &[u8] = b"{\"name\":\"A\"}";

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut out = GzEncoder::new(Vec::new(), Compression::best());
        out.write_all(text).unwrap();
        out.finish().unwrap()
    }

    fn plain(coding: &'static str, body: Vec<u8>) -> Result<Bytes, String> {
        let headers = HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_static(coding))]);
        inflate(&headers, body.into(), 1 << 20).map_err(|error| error.to_string())
    }

    #[test]
    fn every_usual_compression_is_undone() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(TEXT).unwrap();
        let mut bare = DeflateEncoder::new(Vec::new(), Compression::fast());
        bare.write_all(TEXT).unwrap();
        let two_members = [gzip(b"{\"name\":"), gzip(b"\"A\"}")].concat();
        for (coding, body) in [
            ("gzip", gzip(TEXT)),
            ("X-GZIP", gzip(TEXT)),
            ("gzip", two_members),
            ("deflate", zlib.finish().unwrap()),
            ("deflate", bare.finish().unwrap()),
            ("gzip, gzip", gzip(&gzip(TEXT))),
            ("identity", TEXT.to_vec()),
            ("", TEXT.to_vec()),
        ] {
            assert_eq!(plain(coding, body).as_deref(), Ok(TEXT), "{coding}");
        }
    }

    #[test]
    fn what_cannot_be_undone_is_said() {
        assert!(plain("br", TEXT.to_vec()).unwrap_err().contains("compressed with \"br\""));
        assert!(plain("gzip", TEXT.to_vec()).unwrap_err().contains("broken"));
        assert!(plain("deflate", TEXT.to_vec()).unwrap_err().contains("broken"));
        let mut cut = gzip(TEXT);
        cut.truncate(cut.len() - 4);
        assert!(plain("gzip", cut).unwrap_err().contains("broken"));
    }

    #[test]
    fn a_small_body_that_grows_without_end_is_stopped() {
        let bomb = gzip(&gzip(&vec![0; 20 << 20]));
        assert!(bomb.len() < 2_000);
        assert!(plain("gzip, gzip", bomb).unwrap_err().contains("more than 1048576 bytes"));
        assert!(plain("identity", vec![0; (1 << 20) + 1]).is_err());
    }
}

//! The public keys that may sign cards: PEM, JWK and JWK set files.

use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use serde::Deserialize;

/// A public key that may sign cards.
pub struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    public: ParsedPublicKey,
}

/// The algorithms of signatures that are understood.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Algorithm {
    /// Ed25519.
    EdDsa,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// RSA, PKCS#1 v1.5, with SHA-256; keys of 2048 to 8192 bits.
    Rs256,
}

/// Why a text holds no keys.
#[derive(Debug, thiserror::Error)]
pub enum BadKey {
    /// JSON, but no JWK.
    #[error("is no JWK and no JWK set: {0}")]
    Json(#[from] serde_json::Error),
    /// Well-formed, but nothing in it is a public key.
    #[error("holds no public key: write PEM (PUBLIC KEY), a JWK or a JWK set")]
    None,
    /// A PEM section is broken.
    #[error("is broken PEM: {0}")]
    Pem(rustls_pki_types::pem::Error),
    /// A private key, which has no business here.
    #[error("holds a private key: sidecars need the public one only")]
    Private,
    /// A key of another type, or no key at all.
    #[error("holds a key that is none of P-256 (ES256), Ed25519 (EdDSA) and RSA (RS256)")]
    Unsupported,
}

/// A file of keys that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadKeyFile {
    /// What is in it is no good.
    #[error("{0:?} {1}")]
    Content(PathBuf, BadKey),
    /// It cannot be read.
    #[error("{0:?} cannot be read: {1}")]
    Unreadable(PathBuf, io::Error),
}

/// A key as JSON (RFC 7517).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    d: Option<String>,
    k: Option<String>,
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Jwk>,
}

impl Algorithm {
    const ALL: [Self; 3] = [Self::EdDsa, Self::Es256, Self::Rs256];

    /// The algorithm of a JWS or JWK `alg`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            "ES256" => Some(Self::Es256),
            "RS256" => Some(Self::Rs256),
            _ => None,
        }
    }

    /// The name in JWS.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }

    fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::EdDsa => &ED25519,
            Self::Es256 => &ECDSA_P256_SHA256_FIXED,
            Self::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
        }
    }
}

impl Key {
    /// Reads the keys of a file: PEM with one or more public keys, a JWK, or a JWK set. Keys of a set that are not for
    /// signatures or of another type are left out.
    ///
    /// # Errors
    /// If there is no key, one that cannot be used, or a private one.
    pub fn read(text: &str) -> Result<Vec<Self>, BadKey> {
        let keys = if !text.trim_start().starts_with('{') {
            Self::of_pem(text)?
        } else if let Ok(set) = serde_json::from_str::<JwkSet>(text) {
            let mut keys = Vec::new();
            for jwk in set.keys {
                match jwk.key() {
                    Err(BadKey::Unsupported) => {}
                    key => keys.push(key?),
                }
            }
            keys
        } else {
            vec![serde_json::from_str::<Jwk>(text)?.key()?]
        };
        if keys.is_empty() { Err(BadKey::None) } else { Ok(keys) }
    }

    /// Reads the keys of all these files.
    ///
    /// # Errors
    /// If one of them cannot be read or used.
    pub fn load(paths: &[PathBuf]) -> Result<Vec<Self>, BadKeyFile> {
        let one = |path: &Path| {
            let text = fs::read_to_string(path);
            let text = text.map_err(|error| BadKeyFile::Unreadable(path.to_owned(), error))?;
            Self::read(&text).map_err(|error| BadKeyFile::Content(path.to_owned(), error))
        };
        let mut keys = Vec::new();
        for path in paths {
            keys.extend(one(path)?);
        }
        Ok(keys)
    }

    fn of_pem(text: &str) -> Result<Vec<Self>, BadKey> {
        let mut keys = Vec::new();
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
            match section.map_err(BadKey::Pem)? {
                (SectionKind::PublicKey, der) => {
                    let key = Algorithm::ALL.into_iter().find_map(|each| Self::new(None, each, &der).ok());
                    keys.push(key.ok_or(BadKey::Unsupported)?);
                }
                (SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey, _) => {
                    return Err(BadKey::Private);
                }
                _ => {}
            }
        }
        Ok(keys)
    }

    fn new(id: Option<String>, algorithm: Algorithm, bytes: &[u8]) -> Result<Self, BadKey> {
        let public = ParsedPublicKey::new(algorithm.verification(), bytes);
        Ok(Self { id, algorithm, public: public.map_err(|_| BadKey::Unsupported)? })
    }

    /// The name by which signatures may call for the key.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The one algorithm that the key is for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether the signature over the message is this key's.
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.public.verify_sig(message, signature).is_ok()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl Jwk {
    fn key(self) -> Result<Key, BadKey> {
        if self.d.is_some() || self.k.is_some() {
            return Err(BadKey::Private);
        }
        let part = |part: &Option<String>| {
            part.as_deref().and_then(|text| base64_url(text.as_bytes())).ok_or(BadKey::Unsupported)
        };
        let (algorithm, bytes) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("EC", Some("P-256")) => {
                let (x, y) = (part(&self.x)?, part(&self.y)?);
                if x.len() != 32 || y.len() != 32 {
                    return Err(BadKey::Unsupported);
                }
                // An uncompressed point (SEC 1 §2.3.3).
                (Algorithm::Es256, [&[4], x.as_slice(), &y].concat())
            }
            ("OKP", Some("Ed25519")) => (Algorithm::EdDsa, part(&self.x)?),
            ("RSA", _) => {
                let components = PublicKeyComponents { n: part(&self.n)?, e: part(&self.e)? };
                let der = components.as_der().map_err(|_| BadKey::Unsupported)?;
                (Algorithm::Rs256, der.as_ref().to_vec())
            }
            _ => return Err(BadKey::Unsupported),
        };
        let other_algorithm = self.alg.is_some_and(|name| Algorithm::named(&name) != Some(algorithm));
        if other_algorithm || self.purpose.is_some_and(|purpose| purpose != "sig") {
            return Err(BadKey::Unsupported);
        }
        Key::new(self.kid, algorithm, &bytes)
    }
}

/// Base64url without padding, as JOSE writes everything (RFC 7515 §2).
pub(super) fn base64_url(text: &[u8]) -> Option<Vec<u8>> {
    base64_simd::URL_SAFE_NO_PAD.decode_to_vec(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: &str = include_str!("../../tests/golden/cards/keys.jwks");
    const JWK: &str = include_str!("../../tests/golden/cards/es256.jwk");
    const PEM: [(&str, Algorithm); 3] = [
        (include_str!("../../tests/golden/cards/eddsa.pem"), Algorithm::EdDsa),
        (include_str!("../../tests/golden/cards/es256.pem"), Algorithm::Es256),
        (include_str!("../../tests/golden/cards/rs256.pem"), Algorithm::Rs256),
    ];

    #[test]
    fn keys_come_from_pem_and_from_json() {
        for (text, algorithm) in PEM {
            let keys = Key::read(text).unwrap();
            assert_eq!((keys.len(), keys[0].algorithm(), keys[0].id()), (1, algorithm, None));
        }
        assert_eq!(Key::read(&PEM.map(|(text, _)| text).concat()).unwrap().len(), 3);
        assert_eq!(Key::read(JWK).unwrap()[0].algorithm(), Algorithm::Es256);
        let ids: Vec<_> = Key::read(SET).unwrap().iter().map(|key| key.id().unwrap().to_owned()).collect();
        assert_eq!(ids, ["es256-1", "eddsa-1", "rs256-1"]);
    }

    #[test]
    fn keys_of_a_set_that_are_for_something_else_are_left_out() {
        let other = SET.replacen("\"sig\"", "\"enc\"", 1).replacen("Ed25519", "Ed448", 1);
        let keys = Key::read(&other).unwrap();
        assert_eq!(keys.iter().map(Key::algorithm).collect::<Vec<_>>(), [Algorithm::Rs256]);
        assert!(matches!(Key::read(r#"{"keys":[]}"#), Err(BadKey::None)));
    }

    #[test]
    fn what_is_no_public_key_is_refused_with_its_reason() {
        let private = rcgen::KeyPair::generate().unwrap().serialize_pem();
        for (text, reason) in [
            (private.as_str(), "holds a private key"),
            (&JWK.replace("\"kty\"", "\"d\": \"AA\", \"kty\""), "holds a private key"),
            (r#"{"kty":"oct","k":"AA"}"#, "holds a private key"),
            (r#"{"kty":"EC","crv":"P-384","x":"AA","y":"AA"}"#, "none of P-256"),
            (r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#, "none of P-256"),
            (r#"{"kty":"RSA","n":"AA","e":"AQAB"}"#, "none of P-256"),
            (&JWK.replace("\"kty\"", "\"alg\": \"ES384\", \"kty\""), "none of P-256"),
            ("{}", "is no JWK"),
            ("", "holds no public key"),
            ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "none of P-256"),
            ("-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----\n", "is broken PEM"),
        ] {
            let error = Key::read(text).unwrap_err();
            assert!(error.to_string().starts_with(reason) || error.to_string().contains(reason), "{error}");
        }
        let error = Key::load(&[PathBuf::from("/nowhere/key.pem")]).unwrap_err();
        assert!(error.to_string().starts_with("\"/nowhere/key.pem\" cannot be read: "), "{error}");
    }
}

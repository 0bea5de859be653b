//! Certificate signing requests (PKCS #10): what a workload sends to have its key certified. Only the key counts; whatever
//! else a request asks for is nobody's business but the service's that knows the workload.

use std::fmt;

use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ED25519, PublicKeyData as _, SubjectPublicKeyInfo,
};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer as _};

/// The longest request that is looked at, in bytes.
const REQUEST_MAX: usize = 16 << 10;

/// A public key whose owner has proved to hold the private one.
pub struct PublicKey(SubjectPublicKeyInfo);

/// A private key that has never been anywhere but here, and the request to certify it.
pub struct Request {
    /// The request, DER.
    pub der: Vec<u8>,
    key: KeyPair,
}

/// Why a request is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RequestError {
    /// A kind of key that is not certified here.
    #[error("the request's key is none of ECDSA P-256, ECDSA P-384 and Ed25519")]
    Algorithm,
    /// The request is not signed by its key.
    #[error("the request is not signed by its own key")]
    Signature,
    /// More than any request needs.
    #[error("the request has {0} bytes, and 16 KiB are the most")]
    TooLong(usize),
    /// Bytes behind the request.
    #[error("{0} bytes follow the request")]
    TrailingBytes(usize),
    /// No request at all.
    #[error("the request is no PKCS #10 in DER")]
    Unreadable,
}

impl Request {
    /// A new key, ECDSA P-256, and its request, which names nobody.
    ///
    /// # Errors
    ///
    /// When the system gives no random bytes.
    pub fn new() -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let der = params.serialize_request(&key)?.der().to_vec();
        Ok(Self { der, key })
    }

    /// The private key. A secret.
    #[must_use]
    pub fn into_key(self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }
}

impl PublicKey {
    /// The key of a request in DER, whose signature it has made.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is not signed by that key, or the key is of another kind than those that SVIDs have here.
    pub fn of_request(der: &[u8]) -> Result<Self, RequestError> {
        if der.len() > REQUEST_MAX {
            return Err(RequestError::TooLong(der.len()));
        }
        let (rest, request) =
            X509CertificationRequest::from_der(der).map_err(|_| RequestError::Unreadable)?;
        if !rest.is_empty() {
            return Err(RequestError::TrailingBytes(rest.len()));
        }
        let key = SubjectPublicKeyInfo::from_der(request.certification_request_info.subject_pki.raw)
            .map_err(|_| RequestError::Algorithm)?;
        let known = [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519];
        if !known.contains(&key.algorithm()) {
            return Err(RequestError::Algorithm);
        }
        request.verify_signature().map_err(|_| RequestError::Signature)?;
        Ok(Self(key))
    }

    /// The key, as certificates are made with it.
    pub(super) fn info(&self) -> &SubjectPublicKeyInfo {
        &self.0
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey").field("algorithm", self.0.algorithm()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{PKCS_ECDSA_P521_SHA512, SignatureAlgorithm};

    use super::*;

    fn request(algorithm: &'static SignatureAlgorithm) -> Vec<u8> {
        let key = KeyPair::generate_for(algorithm).unwrap();
        CertificateParams::default().serialize_request(&key).unwrap().der().to_vec()
    }

    fn refused(der: &[u8]) -> RequestError {
        PublicKey::of_request(der).unwrap_err()
    }

    #[test]
    fn a_request_of_ours_brings_its_key() {
        let request = Request::new().unwrap();
        let key = PublicKey::of_request(&request.der).unwrap();
        assert_eq!(key.info().der_bytes(), request.key.der_bytes());
    }

    #[test]
    fn keys_that_peers_verify_are_taken_and_no_others() {
        for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
            assert!(PublicKey::of_request(&request(algorithm)).is_ok(), "{algorithm:?}");
        }
        assert_eq!(refused(&request(&PKCS_ECDSA_P521_SHA512)), RequestError::Algorithm);
    }

    #[test]
    fn a_request_that_was_tampered_with_is_refused() {
        let good = request(&PKCS_ECDSA_P256_SHA256);
        // The key of one request in the frame of another one: nobody has proved to hold it.
        let (one, other) = (Request::new().unwrap(), Request::new().unwrap());
        let mut swapped = one.der.clone();
        let key = one.key.der_bytes();
        let at = swapped.windows(key.len()).position(|window| window == key).unwrap();
        swapped.splice(at..at + key.len(), other.key.der_bytes().iter().copied());
        assert_eq!(refused(&swapped), RequestError::Signature);
        assert_eq!(refused(&[&good[..], b"xy"].concat()), RequestError::TrailingBytes(2));
        assert_eq!(refused(&good[..good.len() - 1]), RequestError::Unreadable);
        assert_eq!(refused(b""), RequestError::Unreadable);
        assert_eq!(refused(&[0; REQUEST_MAX + 1]), RequestError::TooLong(REQUEST_MAX + 1));
    }

    #[test]
    fn nothing_of_the_private_key_is_shown() {
        let request = Request::new().unwrap();
        assert_eq!(format!("{request:?}"), "Request { .. }");
    }
}

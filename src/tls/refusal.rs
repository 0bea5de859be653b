//! Why a handshake failed, as a value that can be had back from the error of `connect`, `accept` or a read.

use std::{error::Error, io, sync::Arc};

use rustls::{AlertDescription, CertificateError, OtherError};

use crate::identity::{Pattern, SpiffeId, Untrusted};

/// Why we refuse a peer. It names what the operator needs; nothing of it goes over the wire but a bare alert.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The peer shows no certificate.
    #[error("the peer has no certificate")]
    Anonymous,
    /// The peer is believed to be who it says, but is not who was asked for.
    #[error("expected {expected}, but the peer is {presented}")]
    Mismatch {
        /// Who was asked for.
        expected: Pattern,
        /// Who answered.
        presented: SpiffeId,
    },
    /// There is nothing to judge a peer by: the own identity is not loaded.
    #[error("the own identity is not loaded: {0}")]
    NotReady(String),
    /// The certificate may be good, but whoever shows it does not prove to hold its key.
    #[error("the peer does not prove that it holds the key of its certificate: {0}")]
    Unproven(CertificateError),
    /// The peer's certificate does not verify.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
}

impl Refusal {
    /// The refusal in the error of a `connect` or an `accept`, or in whatever wraps such an error. `None` if it failed for
    /// another reason.
    #[must_use]
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        match find(error)? {
            rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) => {
                cause.downcast_ref().cloned()
            }
            // Our verifier says nothing else, so this is about the handshake's signature.
            rustls::Error::InvalidCertificate(other) => Some(Self::Unproven(other.clone())),
            rustls::Error::NoCertificatesPresented => Some(Self::Anonymous),
            _ => None,
        }
    }
}

/// As rustls carries it.
impl From<Refusal> for rustls::Error {
    fn from(refusal: Refusal) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
    }
}

/// The alert that the other end sent, if that is why `error` is.
#[must_use]
pub fn alert(error: &(dyn Error + 'static)) -> Option<AlertDescription> {
    match find(error)? {
        rustls::Error::AlertReceived(description) => Some(*description),
        _ => None,
    }
}

/// Whether `error` means that the other end refused our certificate. On a client, this comes with the first read.
#[must_use]
pub fn is_rejection(error: &(dyn Error + 'static)) -> bool {
    matches!(
        alert(error),
        Some(
            AlertDescription::AccessDenied
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateRequired
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateUnknown
                | AlertDescription::DecryptError
                | AlertDescription::UnknownCA
                | AlertDescription::UnsupportedCertificate
        )
    )
}

/// The TLS error inside an error, however deep.
fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            // The source of an io::Error is the source of what it wraps, which would skip what it wraps.
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error as transports wrap them.
    #[derive(Debug, thiserror::Error)]
    #[error("connecting did not work")]
    struct Wrapped(#[source] io::Error);

    fn refusal() -> Refusal {
        Refusal::Mismatch {
            expected: Pattern::parse("spiffe://a.test/ns/travel/sa/*").unwrap(),
            presented: SpiffeId::parse("spiffe://b.test/x").unwrap(),
        }
    }

    #[test]
    fn a_refusal_is_found_however_deep_it_is() {
        let inner = || io::Error::new(io::ErrorKind::InvalidData, rustls::Error::from(refusal()));
        assert_eq!(Refusal::of(&rustls::Error::from(refusal())), Some(refusal()));
        assert_eq!(Refusal::of(&inner()), Some(refusal()));
        assert_eq!(Refusal::of(&Wrapped(inner())), Some(refusal()));
        assert_eq!(Refusal::of(&io::Error::other(Wrapped(inner()))), Some(refusal()));
    }

    #[test]
    fn a_refusal_names_both_ids() {
        let text = refusal().to_string();
        assert_eq!(text, "expected spiffe://a.test/ns/travel/sa/*, but the peer is spiffe://b.test/x");
    }

    #[test]
    fn other_errors_are_no_refusals() {
        assert_eq!(Refusal::of(&io::Error::from(io::ErrorKind::ConnectionRefused)), None);
        let alerted = rustls::Error::AlertReceived(AlertDescription::UnknownCA);
        assert_eq!(Refusal::of(&alerted), None);
    }

    #[test]
    fn an_alert_about_our_certificate_is_a_rejection_and_others_are_not() {
        let io = |description| io::Error::other(rustls::Error::AlertReceived(description));
        assert!(is_rejection(&io(AlertDescription::CertificateUnknown)));
        assert!(is_rejection(&io(AlertDescription::CertificateRequired)));
        assert!(!is_rejection(&io(AlertDescription::NoApplicationProtocol)));
        assert_eq!(alert(&io(AlertDescription::CloseNotify)), Some(AlertDescription::CloseNotify));
        assert!(!is_rejection(&io::Error::other("broken pipe")));
    }
}

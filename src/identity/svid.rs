//! Whether a certificate chain is an X.509-SVID: the leaf rules of the X509-SVID standard, and the path to a root of
//! the trust domain that the leaf names. Never to a root of another one.
//!
//! URI name constraints on a CA are not understood by the path builder, which then refuses the chain: closed, not open.

use std::{collections::BTreeMap, time::Duration};

use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::{
    certificate::X509Certificate,
    error::X509Error,
    extensions::{GeneralName, KeyUsage as UsageBits},
    nom,
    prelude::FromDer,
};

use super::{Bundle, IdError, SpiffeId, TrustDomain, date};

/// What a leaf certificate says, once it is known to be an SVID.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Svid {
    /// The one URI SAN.
    pub id: SpiffeId,
    /// From when it is valid, in Unix seconds.
    pub not_before: i64,
    /// Until when it is valid, in Unix seconds.
    pub not_after: i64,
}

/// Which end of a connection a certificate stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Usage {
    /// The end that connects.
    Client,
    /// The end that accepts.
    Server,
}

/// Why a chain is not believed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Untrusted {
    /// The chain does not lead to a root of the ID's own trust domain.
    #[error("{id}: its chain does not verify against the bundle of {}: {cause}", id.trust_domain())]
    Chain {
        /// The ID that the leaf claims.
        id: SpiffeId,
        /// What the path builder found.
        cause: webpki::Error,
    },
    /// The leaf was valid once.
    #[error("{id}: its certificate expired at {}", date(*not_after))]
    Expired {
        /// The ID that the leaf claims.
        id: SpiffeId,
        /// The end of its validity, in Unix seconds.
        not_after: i64,
    },
    /// A certificate between leaf and root may not sign SVIDs of this trust domain.
    #[error("{id}: a certificate in its chain may not sign it: {rule}")]
    Issuer {
        /// The ID that the leaf claims.
        id: SpiffeId,
        /// The rule that the intermediate certificate breaks.
        rule: IssuerRule,
    },
    /// The leaf is no SVID.
    #[error("{}: its certificate is no X.509-SVID: {rule}", id.as_ref().map_or("unnamed peer", SpiffeId::as_str))]
    Leaf {
        /// The ID that the leaf claims, if that much could be read.
        id: Option<SpiffeId>,
        /// The rule that it breaks.
        rule: LeafRule,
    },
    /// Nothing is known about the ID's trust domain.
    #[error("{id}: no bundle for trust domain {}", id.trust_domain())]
    NoBundle {
        /// The ID that the leaf claims.
        id: SpiffeId,
    },
    /// The leaf will be valid later.
    #[error("{id}: its certificate is not valid before {}", date(*not_before))]
    NotYetValid {
        /// The ID that the leaf claims.
        id: SpiffeId,
        /// The start of its validity, in Unix seconds.
        not_before: i64,
    },
}

/// The rules for a leaf (X509-SVID standard, sections 2 to 5).
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LeafRule {
    /// The leaf is a CA.
    #[error("it is a CA certificate (basicConstraints cA)")]
    CertificateAuthority,
    /// The URI SAN is no SPIFFE ID.
    #[error("its URI SAN is no SPIFFE ID: {0}")]
    Id(#[from] IdError),
    /// There is no keyUsage.
    #[error("it has no keyUsage")]
    KeyUsageAbsent,
    /// keyUsage is there, but may be ignored.
    #[error("its keyUsage is not critical")]
    KeyUsageNotCritical,
    /// More than one URI SAN.
    #[error("it has {0} URI SANs where exactly one is allowed")]
    ManyUris(usize),
    /// extendedKeyUsage is there, but without clientAuth.
    #[error("its extendedKeyUsage lacks clientAuth")]
    NoClientAuth,
    /// keyUsage is there, but without digitalSignature.
    #[error("its keyUsage lacks digitalSignature")]
    NoDigitalSignature,
    /// The ID has no path: it names a trust domain, not a workload.
    #[error("its SPIFFE ID has no path")]
    NoPath,
    /// extendedKeyUsage is there, but without serverAuth.
    #[error("its extendedKeyUsage lacks serverAuth")]
    NoServerAuth,
    /// No URI SAN.
    #[error("it has no URI SAN")]
    NoUri,
    /// keyUsage allows signing certificates or revocation lists.
    #[error("its keyUsage has keyCertSign or cRLSign")]
    Signs,
    /// Bytes behind the certificate.
    #[error("{0} bytes follow the certificate")]
    TrailingBytes(usize),
    /// No X.509 certificate, or an extension that cannot be read or is there twice.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] X509Error),
}

/// The rules for roots and intermediate certificates.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum IssuerRule {
    /// The certificate has a SPIFFE ID of another trust domain.
    #[error("it belongs to trust domain {0}")]
    Foreign(TrustDomain),
    /// The certificate has a URI SAN with the SPIFFE scheme that is no SPIFFE ID.
    #[error("its URI SAN is no SPIFFE ID: {0}")]
    Id(#[from] IdError),
    /// Not a CA.
    #[error("it is no CA certificate (basicConstraints cA)")]
    NoAuthority,
    /// keyUsage is there, but without keyCertSign.
    #[error("its keyUsage lacks keyCertSign")]
    NoCertSign,
    /// The SPIFFE ID names a workload.
    #[error("its SPIFFE ID {0} has a path")]
    Path(SpiffeId),
    /// Bytes behind the certificate.
    #[error("{0} bytes follow the certificate")]
    TrailingBytes(usize),
    /// No X.509 certificate, or an extension that cannot be read or is there twice.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] X509Error),
    /// The path builder cannot use it as a root.
    #[error("it cannot be a root: {0}")]
    Unusable(webpki::Error),
}

impl Svid {
    /// Reads a leaf and checks every rule that needs no other certificate and no clock.
    ///
    /// # Errors
    ///
    /// [`Untrusted::Leaf`] with the first rule that the leaf breaks.
    pub fn read(leaf: &CertificateDer<'_>) -> Result<Self, Untrusted> {
        let nameless = |rule| Untrusted::Leaf { id: None, rule };
        let Parsed { certificate: parsed, trailing } = parse(leaf).map_err(|error| nameless(error.into()))?;
        if trailing > 0 {
            return Err(nameless(LeafRule::TrailingBytes(trailing)));
        }
        let id = workload_id(&parsed).map_err(nameless)?;
        match check_leaf(&id, &parsed) {
            Ok(()) => {
                let validity = parsed.validity();
                let (not_before, not_after) =
                    (validity.not_before.timestamp(), validity.not_after.timestamp());
                Ok(Self { id, not_before, not_after })
            }
            Err(rule) => Err(Untrusted::Leaf { id: Some(id), rule }),
        }
    }

    /// Reads a leaf and verifies its chain at `now` (Unix seconds) against the bundle of the leaf's own trust domain.
    /// `rest` is what came with the leaf; its order does not matter.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong: the leaf, its trust domain, its validity, its chain.
    pub fn verify(
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        bundles: &BTreeMap<TrustDomain, Bundle>,
        usage: Usage,
        now: i64,
    ) -> Result<Self, Untrusted> {
        let svid = Self::read(leaf)?;
        let id = || svid.id.clone();
        let Some(bundle) = bundles.get(svid.id.trust_domain()) else {
            return Err(Untrusted::NoBundle { id: id() });
        };
        if now > svid.not_after {
            return Err(Untrusted::Expired { id: id(), not_after: svid.not_after });
        }
        if now < svid.not_before {
            return Err(Untrusted::NotYetValid { id: id(), not_before: svid.not_before });
        }
        let usage = match usage {
            Usage::Client => KeyUsage::client_auth(),
            Usage::Server => KeyUsage::server_auth(),
        };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now).unwrap_or(0)));
        let chain = |cause| Untrusted::Chain { id: id(), cause };
        let leaf = EndEntityCert::try_from(leaf).map_err(chain)?;
        let algorithms = webpki::ALL_VERIFICATION_ALGS;
        let path = leaf
            .verify_for_usage(algorithms, bundle.anchors(), rest, now, usage, None, None)
            .map_err(chain)?;
        // The path builder looks at basicConstraints, but neither at keyUsage nor at SPIFFE IDs of issuers.
        for issuer in path.intermediate_certificates() {
            check_issuer(&issuer.der(), svid.id.trust_domain())
                .map_err(|rule| Untrusted::Issuer { id: id(), rule })?;
        }
        Ok(svid)
    }
}

/// Checks that a root or an intermediate certificate may sign SVIDs of `domain`.
pub(super) fn check_issuer(issuer: &CertificateDer<'_>, domain: &TrustDomain) -> Result<(), IssuerRule> {
    match authority_domain(issuer)? {
        Some(named) if named != *domain => Err(IssuerRule::Foreign(named)),
        _ => Ok(()),
    }
}

/// Checks that a certificate is one that signs others; the trust domain that its SPIFFE ID names, if it has one.
pub(super) fn authority_domain(issuer: &CertificateDer<'_>) -> Result<Option<TrustDomain>, IssuerRule> {
    let Parsed { certificate: parsed, trailing } = parse(issuer)?;
    if trailing > 0 {
        return Err(IssuerRule::TrailingBytes(trailing));
    }
    if !parsed.basic_constraints()?.is_some_and(|constraints| constraints.value.ca) {
        return Err(IssuerRule::NoAuthority);
    }
    if parsed.key_usage()?.is_some_and(|usage| !usage.value.key_cert_sign()) {
        return Err(IssuerRule::NoCertSign);
    }
    let mut domain = None;
    for uri in uris(&parsed)? {
        // Other URIs than SPIFFE IDs are an issuer's own business.
        if !uri.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe:")) {
            continue;
        }
        let id = SpiffeId::parse(uri)?;
        if !id.path().is_empty() {
            return Err(IssuerRule::Path(id));
        }
        match domain {
            Some(first) if first != *id.trust_domain() => return Err(IssuerRule::Foreign(first)),
            _ => domain = Some(id.trust_domain().clone()),
        }
    }
    Ok(domain)
}

/// A certificate, and how many bytes follow it.
struct Parsed<'a> {
    certificate: X509Certificate<'a>,
    trailing: usize,
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<Parsed<'a>, X509Error> {
    match X509Certificate::from_der(der) {
        Ok((rest, certificate)) => Ok(Parsed { certificate, trailing: rest.len() }),
        Err(nom::Err::Error(error) | nom::Err::Failure(error)) => Err(error),
        Err(nom::Err::Incomplete(_)) => Err(X509Error::InvalidCertificate),
    }
}

/// The one URI SAN. All are counted, also those that are no SPIFFE IDs: two names are one too many.
fn workload_id(parsed: &X509Certificate<'_>) -> Result<SpiffeId, LeafRule> {
    match uris(parsed)?.as_slice() {
        [] => Err(LeafRule::NoUri),
        [uri] => Ok(SpiffeId::parse(uri)?),
        many => Err(LeafRule::ManyUris(many.len())),
    }
}

/// Every URI SAN, as it stands there.
fn uris<'a>(parsed: &'a X509Certificate<'_>) -> Result<Vec<&'a str>, X509Error> {
    let names = parsed.subject_alternative_name()?.map_or(&[][..], |names| &names.value.general_names);
    let mut uris = Vec::new();
    for name in names {
        match name {
            GeneralName::URI(uri) => uris.push(*uri),
            // A name that is not text at all might be a second URI.
            GeneralName::Invalid(..) => return Err(X509Error::InvalidExtensions),
            _ => {}
        }
    }
    Ok(uris)
}

fn check_leaf(id: &SpiffeId, parsed: &X509Certificate<'_>) -> Result<(), LeafRule> {
    if id.path().is_empty() {
        return Err(LeafRule::NoPath);
    }
    if parsed.basic_constraints()?.is_some_and(|constraints| constraints.value.ca) {
        return Err(LeafRule::CertificateAuthority);
    }
    let usage = parsed.key_usage()?.ok_or(LeafRule::KeyUsageAbsent)?;
    if !usage.critical {
        return Err(LeafRule::KeyUsageNotCritical);
    }
    check_key_usage(usage.value)?;
    match parsed.extended_key_usage()? {
        Some(usage) if !usage.value.server_auth => Err(LeafRule::NoServerAuth),
        Some(usage) if !usage.value.client_auth => Err(LeafRule::NoClientAuth),
        _ => Ok(()),
    }
}

fn check_key_usage(usage: &UsageBits) -> Result<(), LeafRule> {
    if usage.key_cert_sign() || usage.crl_sign() {
        return Err(LeafRule::Signs);
    }
    if !usage.digital_signature() {
        return Err(LeafRule::NoDigitalSignature);
    }
    Ok(())
}

#[cfg(test)]
mod tests;

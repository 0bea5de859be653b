//! The webhook's certificate and the CA that vouches for it, as they are kept in a Secret: `tls.crt` and `tls.key`, `ca.crt`
//! with every CA that API servers are to believe, and `ca.key`, the key of the first of them.
//!
//! A new CA is put before the old ones and signs nothing until API servers have heard of it. See [`Kept::step`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::ByteString;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SanType,
};
use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use super::keep::SETTLE;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// How long a leaf is valid, in seconds.
const LEAF_LIFETIME: i64 = 30 * DAY;
/// How long a CA is valid, in seconds: ten years.
const CA_LIFETIME: i64 = 3650 * DAY;
/// How far back validity begins, in seconds, for an API server whose clock is slow.
const BACKDATE: i64 = 300;

/// The keys of the Secret.
const CA_CHAIN: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const CHAIN: &str = "tls.crt";
const KEY: &str = "tls.key";

/// What the Secret holds. There is never nothing in it: at least one CA, its key, and a leaf.
#[derive(Clone)]
pub(super) struct Kept {
    /// The CA that signs, then those that did.
    cas: Vec<Ca>,
    ca_key: String,
    chain: String,
    key: String,
}

#[derive(Clone)]
struct Ca {
    der: CertificateDer<'static>,
    pem: String,
    from: i64,
    until: i64,
}

/// What should be done with the Secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// A new CA must come before the others.
    Replace,
    /// The first CA must sign a new leaf.
    Issue,
    /// The same, when API servers have surely been told of it.
    IssueOnceKnown,
    /// The old CAs are of no use any more.
    Retire,
    /// Nothing until then, in Unix seconds.
    Rest(i64),
}

/// Why what the Secret holds is no good.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeptError {
    /// The key is not that of the certificate.
    #[error("{0} is not the key of the certificate beside it")]
    KeyMismatch(&'static str),
    /// It is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A certificate cannot be made.
    #[error("a certificate cannot be made: {0}")]
    Sign(#[from] rcgen::Error),
    /// It is not what it should be.
    #[error("{0} cannot be read")]
    Unreadable(&'static str),
}

impl Kept {
    /// A new CA with a leaf for `names` (DNS names), at `now` (Unix seconds).
    pub(super) fn new(names: &[String], now: i64) -> Result<Self, KeptError> {
        let (ca, ca_key) = Ca::new(now)?;
        let empty = Self { cas: vec![ca], ca_key, chain: String::new(), key: String::new() };
        empty.issued(names, now)
    }

    /// Reads a Secret.
    pub(super) fn read(data: Option<&BTreeMap<String, ByteString>>) -> Result<Self, KeptError> {
        let text = |name: &'static str| {
            let bytes = data.and_then(|data| data.get(name)).ok_or(KeptError::Missing(name))?;
            str::from_utf8(&bytes.0).map_err(|_| KeptError::Unreadable(name))
        };
        let cas: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text(CA_CHAIN)?.as_bytes())
            .map(|der| Ca::read(der.map_err(|_| KeptError::Unreadable(CA_CHAIN))?))
            .collect();
        let (cas, ca_key) = (cas?, text(CA_KEY)?.to_owned());
        let key = KeyPair::from_pem(&ca_key).map_err(|_| KeptError::Unreadable(CA_KEY))?;
        let first = cas.first().ok_or(KeptError::Missing(CA_CHAIN))?;
        if first.parsed()?.public_key().raw != key.subject_public_key_info() {
            return Err(KeptError::KeyMismatch(CA_KEY));
        }
        let kept = Self { cas, ca_key, chain: text(CHAIN)?.to_owned(), key: text(KEY)?.to_owned() };
        kept.certified()?;
        Ok(kept)
    }

    /// What the Secret is to hold.
    pub(super) fn data(&self) -> BTreeMap<String, ByteString> {
        let entries = [
            (CA_CHAIN, self.bundle()),
            (CA_KEY, self.ca_key.clone()),
            (CHAIN, self.chain.clone()),
            (KEY, self.key.clone()),
        ];
        entries.into_iter().map(|(name, text)| (name.to_owned(), ByteString(text.into_bytes()))).collect()
    }

    /// Every CA that API servers are to believe, in PEM.
    pub(super) fn bundle(&self) -> String {
        self.cas.iter().map(|ca| ca.pem.as_str()).collect()
    }

    /// What is shown to API servers.
    pub(super) fn certified(&self) -> Result<Arc<CertifiedKey>, KeptError> {
        certified(&self.chain, &self.key)
    }

    /// When the leaf expires, in Unix seconds.
    pub(super) fn until(&self) -> i64 {
        expiry(&self.chain).unwrap_or_default()
    }

    /// What should be done at `now` (Unix seconds) so that there always is a leaf for `names` that API servers believe.
    pub(super) fn step(&self, names: &[String], now: i64) -> Step {
        let Some(ca) = self.cas.first() else { return Step::Replace };
        let outlived = ca.from + (ca.until - ca.from) / 5 * 4;
        if now >= outlived || now < ca.from {
            return Step::Replace;
        }
        let Some(leaf) =
            Leaf::read(&self.chain, &self.cas).filter(|leaf| leaf.current(now) && leaf.covers(names))
        else {
            // Nobody believes the leaf that is there, so there is nothing to wait for.
            return Step::Issue;
        };
        let known = ca.from + BACKDATE + i64::try_from(SETTLE.as_secs()).unwrap_or(i64::MAX);
        if leaf.signer > 0 {
            return if now >= known { Step::IssueOnceKnown } else { Step::Rest(known) };
        }
        let renewal = leaf.from + (leaf.until - leaf.from) / 3 * 2;
        if now >= renewal {
            return Step::Issue;
        }
        // By then no leaf of an old CA can be valid anywhere.
        let alone = known + LEAF_LIFETIME;
        match self.cas.len() {
            1 => Step::Rest(renewal.min(outlived)),
            _ if now >= alone => Step::Retire,
            _ => Step::Rest(renewal.min(outlived).min(alone)),
        }
    }

    /// With a new CA before the others; the leaf stays.
    pub(super) fn replaced(&self, now: i64) -> Result<Self, KeptError> {
        let (ca, ca_key) = Ca::new(now)?;
        let old = self.cas.iter().filter(|ca| ca.until > now).cloned();
        Ok(Self { cas: [ca].into_iter().chain(old).collect(), ca_key, ..self.clone() })
    }

    /// With a leaf that the first CA has just signed.
    pub(super) fn issued(&self, names: &[String], now: i64) -> Result<Self, KeptError> {
        let ca = self.cas.first().ok_or(KeptError::Missing(CA_CHAIN))?;
        let issuer = Issuer::from_ca_cert_der(&ca.der, KeyPair::from_pem(&self.ca_key)?)?;
        let mut params = named("Dragoman injector");
        // A leaf that lacks a name of ours has those of another replica, which would take ours out again.
        let other =
            Leaf::read(&self.chain, &self.cas).filter(|leaf| leaf.current(now) && !leaf.covers(names));
        let others = other.map(|leaf| leaf.names).unwrap_or_default();
        for name in names.iter().chain(others.iter().filter(|name| !names.contains(name))) {
            params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        valid(&mut params, now, LEAF_LIFETIME)?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let leaf = params.signed_by(&key, &issuer)?;
        Ok(Self { chain: leaf.pem(), key: key.serialize_pem(), ..self.clone() })
    }

    /// With the first CA alone.
    pub(super) fn retired(&self) -> Self {
        Self { cas: self.cas.iter().take(1).cloned().collect(), ..self.clone() }
    }
}

impl Ca {
    fn new(now: i64) -> Result<(Self, String), KeptError> {
        let mut params = named("Dragoman injector CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        valid(&mut params, now, CA_LIFETIME)?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.self_signed(&key)?;
        Ok((Self::read(certificate.der().clone())?, key.serialize_pem()))
    }

    fn read(der: CertificateDer<'static>) -> Result<Self, KeptError> {
        let (from, until) = validity(&der).ok_or(KeptError::Unreadable(CA_CHAIN))?;
        let body = base64_simd::STANDARD.encode_to_string(&der);
        let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
        let mut rest = body.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = more;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        Ok(Self { der, pem, from, until })
    }

    fn parsed(&self) -> Result<X509Certificate<'_>, KeptError> {
        let parsed = X509Certificate::from_der(&self.der);
        parsed.map(|(_, parsed)| parsed).map_err(|_| KeptError::Unreadable(CA_CHAIN))
    }
}

/// What a leaf says.
struct Leaf {
    from: i64,
    until: i64,
    names: Vec<String>,
    /// Which CA has signed it.
    signer: usize,
}

impl Leaf {
    fn read(chain: &str, cas: &[Ca]) -> Option<Self> {
        let der = CertificateDer::pem_slice_iter(chain.as_bytes()).next()?.ok()?;
        let (_, leaf) = X509Certificate::from_der(&der).ok()?;
        let signed =
            |ca: &Ca| ca.parsed().is_ok_and(|ca| leaf.verify_signature(Some(ca.public_key())).is_ok());
        let signer = cas.iter().position(signed)?;
        let names = leaf.subject_alternative_name().ok()??.value.general_names.iter();
        let names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
        let (from, until) = (leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp());
        Some(Self { from, until, names: names.collect(), signer })
    }

    fn current(&self, now: i64) -> bool {
        (self.from..self.until).contains(&now)
    }

    fn covers(&self, names: &[String]) -> bool {
        names.iter().all(|name| self.names.contains(name))
    }
}

/// A chain and its key, both in PEM, as TLS wants them.
pub(super) fn certified(chain: &str, key: &str) -> Result<Arc<CertifiedKey>, KeptError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
    let chain = chain.map_err(|_| KeptError::Unreadable(CHAIN))?;
    if chain.is_empty() {
        return Err(KeptError::Unreadable(CHAIN));
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| KeptError::Unreadable(KEY))?;
    let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
    certified.map(Arc::new).map_err(|_| KeptError::KeyMismatch(KEY))
}

/// When the first certificate in PEM expires, in Unix seconds.
pub(super) fn expiry(chain: &str) -> Option<i64> {
    let der = CertificateDer::pem_slice_iter(chain.as_bytes()).next()?.ok()?;
    validity(&der).map(|(_, until)| until)
}

fn validity(der: &[u8]) -> Option<(i64, i64)> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    Some((parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp()))
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn valid(params: &mut CertificateParams, now: i64, lifetime: i64) -> Result<(), KeptError> {
    let time = |unix: i64| ASN1Time::from_timestamp(unix).map_err(|_| KeptError::Sign(rcgen::Error::Time));
    params.not_before = time(now.saturating_sub(BACKDATE))?.to_datetime();
    params.not_after = time(now.saturating_add(lifetime))?.to_datetime();
    Ok(())
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("cas", &self.cas.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn names() -> Vec<String> {
        vec!["dragoman-injector.mesh.svc".to_owned()]
    }

    fn new() -> Kept {
        Kept::new(&names(), NOW).unwrap()
    }

    fn again(kept: &Kept) -> Kept {
        Kept::read(Some(&kept.data())).unwrap()
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let kept = new();
        assert_eq!(again(&kept).data(), kept.data());
        assert!(!format!("{kept:?}").contains("PRIVATE"));
        let without = |name: &str| {
            let mut data = kept.data();
            data.remove(name);
            Kept::read(Some(&data)).unwrap_err().to_string()
        };
        for name in ["ca.crt", "ca.key", "tls.crt", "tls.key"] {
            assert_eq!(without(name), format!("{name} is missing"));
        }
        let mut mixed = kept.data();
        mixed.insert("ca.key".to_owned(), new().data()["ca.key"].clone());
        assert_eq!(
            Kept::read(Some(&mixed)).unwrap_err().to_string(),
            "ca.key is not the key of the certificate beside it"
        );
        let mut mixed = kept.data();
        mixed.insert("tls.key".to_owned(), new().data()["tls.key"].clone());
        assert_eq!(
            Kept::read(Some(&mixed)).unwrap_err().to_string(),
            "tls.key is not the key of the certificate beside it"
        );
    }

    #[test]
    fn a_leaf_is_renewed_after_two_thirds_of_its_life() {
        let kept = new();
        let Step::Rest(until) = kept.step(&names(), NOW) else { panic!("nothing is due") };
        assert_eq!((until - NOW) / DAY, 19, "20 days, less what it is dated back");
        assert_eq!(kept.step(&names(), until), Step::Issue);
        let renewed = again(&kept.issued(&names(), until).unwrap());
        assert!(matches!(renewed.step(&names(), until), Step::Rest(_)));
        assert_eq!(renewed.bundle(), kept.bundle());
    }

    #[test]
    fn a_new_ca_signs_when_it_is_known_and_the_old_one_leaves_when_nobody_needs_it() {
        let kept = new();
        let later = NOW + CA_LIFETIME / 5 * 4 + DAY;
        let kept = kept.issued(&names(), later - DAY).unwrap();
        assert_eq!(kept.step(&names(), later), Step::Replace);
        let replaced = again(&kept.replaced(later).unwrap());
        assert!(replaced.bundle().ends_with(&kept.bundle()), "the old one stays");
        assert_eq!(replaced.data()["tls.crt"], kept.data()["tls.crt"]);
        let Step::Rest(known) = replaced.step(&names(), later) else { panic!("it is not known yet") };
        assert_eq!(known, later + 300);
        assert_eq!(replaced.step(&names(), known), Step::IssueOnceKnown);
        let issued = again(&replaced.issued(&names(), known).unwrap());
        let alone = known + LEAF_LIFETIME;
        let renewed = issued.issued(&names(), alone).unwrap();
        assert_eq!(renewed.step(&names(), alone - 1), Step::Rest(alone));
        assert_eq!(renewed.step(&names(), alone), Step::Retire);
        assert!(matches!(again(&renewed.retired()).step(&names(), alone), Step::Rest(_)));
    }

    #[test]
    fn replicas_that_are_called_differently_agree_on_a_leaf() {
        let (one, other) = (names(), vec!["injector.mesh.svc".to_owned()]);
        let kept = new();
        assert_eq!(kept.step(&other, NOW), Step::Issue);
        let both = kept.issued(&other, NOW).unwrap();
        assert!(matches!((both.step(&one, NOW), both.step(&other, NOW)), (Step::Rest(_), Step::Rest(_))));
        let Step::Rest(later) = both.step(&one, NOW) else { panic!("nothing is due") };
        assert_eq!(
            both.issued(&one, later).unwrap().step(&other, later),
            Step::Issue,
            "a name that is not used leaves"
        );
    }

    #[test]
    fn a_leaf_that_nobody_believes_is_replaced_at_once() {
        let kept = new();
        assert_eq!(kept.step(&["other.mesh.svc".to_owned()], NOW), Step::Issue);
        assert_eq!(kept.step(&names(), NOW + LEAF_LIFETIME), Step::Issue);
        let foreign = Kept { cas: new().cas, ..new() };
        assert_eq!(foreign.step(&names(), NOW), Step::Issue);
        assert_eq!(kept.step(&names(), NOW - DAY), Step::Replace, "its CA is of the future");
    }
}

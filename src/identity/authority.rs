//! An authority: a CA of one trust domain that issues SVIDs. It may be made here, or come from files or from a Secret, with
//! intermediate certificates between it and its root.

use std::{fmt, path::Path, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::time::ASN1Time;

use super::{Bundle, RootError, SpiffeId, TrustDomain, pem, replace::replace};
use crate::a2a::is_label;

mod error;
mod read;
mod request;

pub use self::error::AuthorityError;
pub use self::read::{Part, Parts};
pub use self::request::{PublicKey, Request, RequestError};

/// How long a leaf is valid unless said otherwise.
pub const LEAF_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a root is valid, in seconds: ten years.
const ROOT_LIFETIME: i64 = 3650 * 24 * 60 * 60;
/// How far back validity begins, in seconds, so that a peer whose clock is slow believes it too.
const BACKDATE: i64 = 60;

/// A CA of one trust domain.
pub struct Authority {
    domain: TrustDomain,
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    /// What goes behind each leaf: the CA's own certificate first, a root never.
    chain: Vec<CertificateDer<'static>>,
    roots: Vec<CertificateDer<'static>>,
    roots_pem: String,
    not_before: i64,
    not_after: i64,
}

/// An SVID, just issued to whoever holds the key.
#[derive(Clone, Debug)]
pub struct Signed {
    /// Whose it is.
    pub id: SpiffeId,
    /// Until when it is valid, in Unix seconds.
    pub not_after: i64,
    /// The chain, leaf first, the root not among it.
    pub chain: Vec<CertificateDer<'static>>,
}

/// An SVID with its key and its roots, just issued.
pub struct Issued {
    /// Whose it is.
    pub id: SpiffeId,
    /// Until when it is valid, in Unix seconds.
    pub not_after: i64,
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
    roots_pem: String,
}

impl Authority {
    /// A new authority for `domain`, with a new key and a root that is valid for ten years from `now` (Unix seconds).
    ///
    /// # Errors
    ///
    /// When the key or the certificate cannot be made.
    pub fn new(domain: &TrustDomain, now: i64) -> Result<Self, AuthorityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Dragoman");
        params.distinguished_name.push(DnType::CommonName, domain.as_str());
        params.subject_alt_names = vec![SanType::URI(format!("spiffe://{domain}").try_into()?)];
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let not_before = now.saturating_sub(BACKDATE);
        let not_after = now.saturating_add(ROOT_LIFETIME);
        params.not_before = time(not_before)?.to_datetime();
        params.not_after = time(not_after)?.to_datetime();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.self_signed(&key)?.der().clone();
        Ok(Self {
            domain: domain.clone(),
            issuer: Issuer::new(params, key),
            chain: Vec::new(),
            roots_pem: pem::write([&certificate]),
            roots: vec![certificate.clone()],
            certificate,
            not_before,
            not_after,
        })
    }

    /// Issues an SVID for `id` to whoever holds `key`, valid from a minute ago until `lifetime` after `now` (Unix seconds),
    /// though never longer than the authority is. `dns` become DNS SANs, for clients that know nothing of SPIFFE; each may
    /// begin with `*.`.
    ///
    /// # Errors
    ///
    /// When `id` is of another trust domain or has no path, a DNS name is none, or the authority is not valid now.
    pub fn sign(
        &self,
        id: &SpiffeId,
        dns: &[&str],
        lifetime: Duration,
        now: i64,
        key: &PublicKey,
    ) -> Result<Signed, AuthorityError> {
        self.certify(self.leaf(id, dns, lifetime, now)?, id, key.info())
    }

    /// The same, with a new key, ECDSA P-256.
    ///
    /// # Errors
    ///
    /// As above.
    pub fn issue(
        &self,
        id: &SpiffeId,
        dns: &[&str],
        lifetime: Duration,
        now: i64,
    ) -> Result<Issued, AuthorityError> {
        let leaf = self.leaf(id, dns, lifetime, now)?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let Signed { id, not_after, chain } = self.certify(leaf, id, &key)?;
        Ok(Issued { id, not_after, chain, key, roots_pem: self.roots_pem.clone() })
    }

    /// What the leaf says.
    fn leaf(
        &self,
        id: &SpiffeId,
        dns: &[&str],
        lifetime: Duration,
        now: i64,
    ) -> Result<CertificateParams, AuthorityError> {
        if *id.trust_domain() != self.domain {
            return Err(AuthorityError::Foreign { id: id.clone(), domain: self.domain.clone() });
        }
        if id.path().is_empty() {
            return Err(AuthorityError::Pathless(id.clone()));
        }
        let Self { not_before, not_after, .. } = *self;
        if now < not_before || now >= not_after {
            return Err(AuthorityError::Expired { domain: self.domain.clone(), not_before, not_after });
        }
        let lifetime = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        let mut params = leaf(id, dns)?;
        params.not_before = time(now.saturating_sub(BACKDATE).max(not_before))?.to_datetime();
        params.not_after = time(now.saturating_add(lifetime).min(not_after))?.to_datetime();
        Ok(params)
    }

    fn certify(
        &self,
        params: CertificateParams,
        id: &SpiffeId,
        key: &impl PublicKeyData,
    ) -> Result<Signed, AuthorityError> {
        let leaf = params.signed_by(key, &self.issuer)?.der().clone();
        let chain = std::iter::once(leaf).chain(self.chain.iter().cloned()).collect();
        Ok(Signed { id: id.clone(), not_after: params.not_after.unix_timestamp(), chain })
    }

    /// The trust domain that this authority speaks for.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// The CA's own certificate.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The CA's own key in PEM. A secret.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// The root certificates.
    #[must_use]
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// The root certificates in PEM: what goes into `ca.crt`, or into `<trust-domain>.trust-bundle.pem` elsewhere.
    #[must_use]
    pub fn root_pem(&self) -> &str {
        &self.roots_pem
    }

    /// From when the authority may issue, in Unix seconds.
    #[must_use]
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// Until when what it issues may be valid, in Unix seconds.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// The bundle of this trust domain.
    ///
    /// # Errors
    ///
    /// When a root that was read from files cannot be used as one.
    pub fn bundle(&self) -> Result<Bundle, RootError> {
        Bundle::new(&self.domain, self.roots.clone())
    }

    /// Writes `ca.key` (mode 0600) and `ca.crt` into `dir`, which is made if need be.
    ///
    /// # Errors
    ///
    /// When `ca.key` is there already, or a file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<(), AuthorityError> {
        let key = dir.join("ca.key");
        if key.symlink_metadata().is_ok() {
            return Err(AuthorityError::Exists(key));
        }
        write(dir, "ca.key", &self.key_pem(), 0o600)?;
        write(dir, "ca.crt", &self.roots_pem, 0o644)
    }
}

impl Issued {
    /// The chain, leaf first.
    #[must_use]
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.clone()
    }

    /// The chain in PEM: what goes into `tls.crt`.
    #[must_use]
    pub fn chain_pem(&self) -> String {
        pem::write(&self.chain)
    }

    /// The private key. A secret.
    #[must_use]
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }

    /// The private key in PEM: what goes into `tls.key`. A secret.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// Writes `ca.crt`, `tls.key` (mode 0600) and `tls.crt` into `dir`, which is made if need be. Each file is replaced
    /// at once, the certificate last: who reads in between sees a key that does not fit, and waits.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<(), AuthorityError> {
        write(dir, "ca.crt", &self.roots_pem, 0o644)?;
        write(dir, "tls.key", &self.key_pem(), 0o600)?;
        write(dir, "tls.crt", &self.chain_pem(), 0o644)
    }
}

/// What an SVID says, but for its time. The subject is empty, which makes the SAN critical.
fn leaf(id: &SpiffeId, dns: &[&str]) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(id.as_str().try_into()?)];
    for name in dns {
        if name.len() > 253 || !name.strip_prefix("*.").unwrap_or(name).split('.').all(is_label) {
            return Err(AuthorityError::Dns((*name).to_owned()));
        }
        params.subject_alt_names.push(SanType::DnsName((*name).try_into()?));
    }
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    // By default the number comes from the key, and a key may be certified twice.
    let mut serial = [0; 16];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_| rcgen::Error::RingUnspecified)?;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

fn time(unix: i64) -> Result<ASN1Time, AuthorityError> {
    ASN1Time::from_timestamp(unix).map_err(|_| AuthorityError::When(unix))
}

fn write(dir: &Path, name: &str, text: &str, mode: u32) -> Result<(), AuthorityError> {
    replace(dir, name, text, mode).map_err(|cause| AuthorityError::Io { path: dir.join(name), cause })
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("domain", &self.domain)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("id", &self.id)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

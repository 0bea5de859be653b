//! An authority: the CA of one trust domain, made and kept in files, that issues SVIDs. It is what `dragoman certs` and
//! tests stand on.

use std::{
    fmt, fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SanType,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _};
use x509_parser::{prelude::FromDer as _, time::ASN1Time};

use super::{Bundle, IssuerRule, RootError, SpiffeId, TrustDomain, svid};
use crate::a2a::is_label;

/// How long a leaf is valid unless said otherwise.
pub const LEAF_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a root is valid, in seconds: ten years.
const ROOT_LIFETIME: i64 = 3650 * 24 * 60 * 60;
/// How far back validity begins, in seconds, so that a peer whose clock is slow believes it too.
const BACKDATE: i64 = 60;

/// The CA of one trust domain: ECDSA P-256, one root, no intermediates.
pub struct Authority {
    domain: TrustDomain,
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    root_pem: String,
    not_before: i64,
    not_after: i64,
}

/// An SVID with its key and its root, just issued.
pub struct Issued {
    /// Whose it is.
    pub id: SpiffeId,
    /// Until when it is valid, in Unix seconds.
    pub not_after: i64,
    leaf: rcgen::Certificate,
    key: KeyPair,
    root_pem: String,
}

/// Why an authority cannot be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A DNS name that is none.
    #[error("{0:?} is no DNS name")]
    Dns(String),
    /// There is an authority in that directory already; nothing overwrites a root's key.
    #[error("{} exists: an authority's key is never overwritten", .0.display())]
    Exists(PathBuf),
    /// The root is not valid at this time.
    #[error("the root of {domain} is not valid now: it is from {} to {}", super::date(*not_before), super::date(*not_after))]
    Expired {
        /// The authority's trust domain.
        domain: TrustDomain,
        /// The start of the root's validity, in Unix seconds.
        not_before: i64,
        /// The end of the root's validity, in Unix seconds.
        not_after: i64,
    },
    /// The ID is another authority's to give.
    #[error("{id} cannot be issued by the authority of {domain}")]
    Foreign {
        /// The ID that was asked for.
        id: SpiffeId,
        /// The authority's trust domain.
        domain: TrustDomain,
    },
    /// A file cannot be read or written.
    #[error("{}: {cause}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The key in the directory is not the root's.
    #[error("{}: the key does not belong to the certificate beside it", .0.display())]
    KeyMismatch(PathBuf),
    /// The ID names a trust domain, not a workload.
    #[error("{0} has no path: a workload's ID has one")]
    Pathless(SpiffeId),
    /// The certificate in the directory is no root of a trust domain.
    #[error("{}: {rule}", path.display())]
    Root {
        /// Which file.
        path: PathBuf,
        /// The rule that it breaks.
        rule: IssuerRule,
    },
    /// The certificate cannot be made.
    #[error("the certificate cannot be made: {0}")]
    Sign(#[from] rcgen::Error),
    /// The root names no trust domain, so nobody can say whom it may vouch for.
    #[error("{}: the certificate has no SPIFFE ID, so its trust domain is unknown", .0.display())]
    Unnamed(PathBuf),
    /// The file does not hold exactly what is expected.
    #[error("{}: {what}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A time that certificates cannot hold.
    #[error("{0} is no time that a certificate can hold (Unix seconds)")]
    When(i64),
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
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            domain: domain.clone(),
            issuer: Issuer::new(params, key),
            root: certificate.der().clone(),
            root_pem: certificate.pem(),
            not_before,
            not_after,
        })
    }

    /// Reads an authority from `ca.crt` and `ca.key` in `dir`.
    ///
    /// # Errors
    ///
    /// When a file is missing or unreadable, `ca.crt` is no root of a trust domain, or the two do not belong together.
    pub fn load(dir: &Path) -> Result<Self, AuthorityError> {
        let (certificate_path, key_path) = (dir.join("ca.crt"), dir.join("ca.key"));
        let root_pem = read(&certificate_path)?;
        let key = KeyPair::from_pem(&read(&key_path)?).map_err(|_| AuthorityError::Unreadable {
            path: key_path.clone(),
            what: "no private key in PEM",
        })?;
        let mut found = CertificateDer::pem_slice_iter(root_pem.as_bytes());
        let (Some(Ok(root)), None) = (found.next(), found.next()) else {
            let what = "not exactly one certificate in PEM";
            return Err(AuthorityError::Unreadable { path: certificate_path, what });
        };
        let wrong = |rule| AuthorityError::Root { path: certificate_path.clone(), rule };
        let domain = svid::authority_domain(&root)
            .map_err(wrong)?
            .ok_or_else(|| AuthorityError::Unnamed(certificate_path.clone()))?;
        let issuer = Issuer::from_ca_cert_der(&root, key)?;
        let (not_before, not_after) = {
            let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(&root).map_err(|_| {
                AuthorityError::Unreadable { path: certificate_path.clone(), what: "no certificate" }
            })?;
            if parsed.public_key().raw != issuer.key().subject_public_key_info() {
                return Err(AuthorityError::KeyMismatch(key_path));
            }
            (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp())
        };
        Ok(Self { domain, issuer, root, root_pem, not_before, not_after })
    }

    /// Issues an SVID for `id`, valid from a minute ago until `lifetime` after `now` (Unix seconds), though never
    /// longer than the root is. `dns` become DNS SANs, for clients that know nothing of SPIFFE.
    ///
    /// # Errors
    ///
    /// When `id` is of another trust domain or has no path, a DNS name is none, or the root is not valid now.
    pub fn issue(
        &self,
        id: &SpiffeId,
        dns: &[&str],
        lifetime: Duration,
        now: i64,
    ) -> Result<Issued, AuthorityError> {
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
        let not_after = now.saturating_add(lifetime).min(not_after);
        let mut params = leaf(id, dns)?;
        params.not_before = time(now.saturating_sub(BACKDATE).max(not_before))?.to_datetime();
        params.not_after = time(not_after)?.to_datetime();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let leaf = params.signed_by(&key, &self.issuer)?;
        Ok(Issued { id: id.clone(), not_after, leaf, key, root_pem: self.root_pem.clone() })
    }

    /// The trust domain that this authority speaks for.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// The root certificate.
    #[must_use]
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// The root certificate in PEM: what goes into `ca.crt`, or into `<trust-domain>.trust-bundle.pem` elsewhere.
    #[must_use]
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The bundle of this trust domain.
    ///
    /// # Errors
    ///
    /// When a root that was read from files cannot be used as one.
    pub fn bundle(&self) -> Result<Bundle, RootError> {
        Bundle::new(&self.domain, vec![self.root.clone()])
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
        write(dir, "ca.key", &self.issuer.key().serialize_pem(), 0o600)?;
        write(dir, "ca.crt", &self.root_pem, 0o644)
    }
}

impl Issued {
    /// The chain, leaf first.
    #[must_use]
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.leaf.der().clone()]
    }

    /// The chain in PEM: what goes into `tls.crt`.
    #[must_use]
    pub fn chain_pem(&self) -> String {
        self.leaf.pem()
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
        write(dir, "ca.crt", &self.root_pem, 0o644)?;
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
        if name.len() > 253 || !name.split('.').all(is_label) {
            return Err(AuthorityError::Dns((*name).to_owned()));
        }
        params.subject_alt_names.push(SanType::DnsName((*name).try_into()?));
    }
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn time(unix: i64) -> Result<ASN1Time, AuthorityError> {
    ASN1Time::from_timestamp(unix).map_err(|_| AuthorityError::When(unix))
}

fn read(path: &Path) -> Result<String, AuthorityError> {
    fs::read_to_string(path).map_err(|cause| AuthorityError::Io { path: path.to_owned(), cause })
}

/// Writes a file beside its final place, then moves it there: a reader sees the old one or the new one.
fn write(dir: &Path, name: &str, text: &str, mode: u32) -> Result<(), AuthorityError> {
    let path = dir.join(name);
    let draft = dir.join(format!(".{name}.new"));
    let all = || -> io::Result<()> {
        fs::create_dir_all(dir)?;
        // A draft that an earlier run left behind may be open to everybody: the mode counts for new files only.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, &path)
    };
    all().map_err(|cause| AuthorityError::Io { path: path.clone(), cause })
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

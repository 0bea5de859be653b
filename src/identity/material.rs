//! What a workload holds: its own key and chain, and the bundles of the trust domains that it knows.

use std::{collections::BTreeMap, fmt, sync::Arc};

use rustls::{InconsistentKeys, crypto::aws_lc_rs, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, TrustAnchor};

use super::{IssuerRule, SpiffeId, Svid, TrustDomain, Untrusted, Usage, pem, svid::check_issuer};

/// The roots of one trust domain. There is no way to put two domains' roots into one bundle.
#[derive(Clone)]
pub struct Bundle {
    roots: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
}

/// The roots of several trust domains, each in a bundle of its own.
pub type Bundles = BTreeMap<TrustDomain, Bundle>;

/// A certificate of a bundle that cannot be one of its roots.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("certificate {nth} cannot be a root of {domain}: {rule}")]
pub struct RootError {
    /// The trust domain of the bundle.
    pub domain: TrustDomain,
    /// Which certificate, from 1.
    pub nth: usize,
    /// The rule that it breaks.
    pub rule: IssuerRule,
}

/// Own key, own chain and all bundles, checked: what is in here works. Never changed, only replaced.
#[derive(Clone)]
pub struct Material {
    /// Who we are.
    pub id: SpiffeId,
    /// From when the own leaf is valid, in Unix seconds.
    pub not_before: i64,
    /// Until when the own leaf is valid, in Unix seconds.
    pub not_after: i64,
    /// The roots of every known trust domain, the own one among them.
    pub bundles: BTreeMap<TrustDomain, Bundle>,
    /// Which edition this is: 1 for the first one published, one more for each that replaces another.
    pub generation: u64,
    key: Arc<CertifiedKey>,
}

/// Why key, chain and bundles do not fit together.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MaterialError {
    /// There is no certificate at all.
    #[error("there is no certificate")]
    Empty,
    /// The own ID is one of another trust domain.
    #[error("{id} is of trust domain {}, but this mesh is {expected}", id.trust_domain())]
    Foreign {
        /// The ID that the own leaf has.
        id: SpiffeId,
        /// The trust domain of this mesh.
        expected: TrustDomain,
    },
    /// The private key is no key that can sign.
    #[error("the private key cannot be used: {0}")]
    Key(rustls::Error),
    /// The private key belongs to another certificate.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
    /// A peer with the same bundles would refuse us.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
}

impl Bundle {
    /// The bundle of `domain`. It may be empty: then nobody of that domain is believed.
    ///
    /// # Errors
    ///
    /// When a certificate is no CA, may not sign certificates, or carries the SPIFFE ID of another trust domain or of
    /// a workload.
    pub fn new(domain: &TrustDomain, roots: Vec<CertificateDer<'static>>) -> Result<Self, RootError> {
        let mut anchors = Vec::with_capacity(roots.len());
        for (index, root) in roots.iter().enumerate() {
            let wrong = |rule| RootError { domain: domain.clone(), nth: index + 1, rule };
            check_issuer(root, domain).map_err(wrong)?;
            let anchor =
                webpki::anchor_from_trusted_cert(root).map_err(|cause| wrong(IssuerRule::Unusable(cause)))?;
            anchors.push(anchor.to_owned());
        }
        Ok(Self { roots, anchors })
    }

    /// The roots, as they were given.
    #[must_use]
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// The roots in PEM: what goes into `<trust-domain>.trust-bundle.pem`.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::write(&self.roots)
    }

    /// The roots, as the path builder wants them.
    pub(super) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }
}

impl Material {
    /// Puts material together for a workload of `domain`, at `now` (Unix seconds). `chain` begins with the leaf. The
    /// generation is 0 until it is published.
    ///
    /// # Errors
    ///
    /// When the key is not the leaf's, the leaf is of another domain, or a peer with the same bundles would refuse it.
    pub fn new(
        domain: &TrustDomain,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        bundles: BTreeMap<TrustDomain, Bundle>,
        now: i64,
    ) -> Result<Self, MaterialError> {
        let Svid { id, not_before, not_after } = own(domain, &chain)?;
        let (leaf, rest) = chain.split_first().ok_or(MaterialError::Empty)?;
        // We connect and accept with it, and intermediate certificates may allow only one of the two.
        for usage in [Usage::Client, Usage::Server] {
            Svid::verify(leaf, rest, &bundles, usage, now)?;
        }
        let key =
            CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(
                |error| match error {
                    rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                        MaterialError::KeyMismatch
                    }
                    other => MaterialError::Key(other),
                },
            )?;
        Ok(Self { id, not_before, not_after, bundles, generation: 0, key: Arc::new(key) })
    }

    /// The same key and chain with other bundles, at `now` (Unix seconds).
    ///
    /// # Errors
    ///
    /// When a peer with these bundles would refuse the own chain.
    pub fn with_bundles(
        &self,
        bundles: BTreeMap<TrustDomain, Bundle>,
        now: i64,
    ) -> Result<Self, MaterialError> {
        let (leaf, rest) = self.key.cert.split_first().ok_or(MaterialError::Empty)?;
        for usage in [Usage::Client, Usage::Server] {
            Svid::verify(leaf, rest, &bundles, usage, now)?;
        }
        Ok(Self { bundles, ..self.clone() })
    }

    /// The own chain, leaf first.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.key.cert
    }

    /// The own key and chain, as TLS wants them. The key signs; its bytes do not come out again.
    #[must_use]
    pub fn key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }
}

/// The own SVID, if it is one of `domain`. Sources ask this before all else: whose chain it is explains the most.
pub(super) fn own(domain: &TrustDomain, chain: &[CertificateDer<'_>]) -> Result<Svid, MaterialError> {
    let svid = Svid::read(chain.first().ok_or(MaterialError::Empty)?)?;
    if svid.id.trust_domain() != domain {
        return Err(MaterialError::Foreign { id: svid.id, expected: domain.clone() });
    }
    Ok(svid)
}

/// Two bundles are the same if they have the same roots.
impl PartialEq for Bundle {
    fn eq(&self, other: &Self) -> bool {
        self.roots == other.roots
    }
}

impl Eq for Bundle {}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bundle({} roots)", self.roots.len())
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material")
            .field("id", &self.id)
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .field("bundles", &self.bundles)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

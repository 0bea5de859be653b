//! An authority that somebody else keeps: its certificate, its key and its roots as PEM, from files or from a Secret.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use rcgen::{Issuer, KeyPair, PublicKeyData as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use super::{Authority, AuthorityError};
use crate::identity::{Bundle, SpiffeId, Svid, TrustDomain, Usage, pem, svid};

/// A PEM text, and where it is, for errors.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    /// What errors call it.
    pub place: &'a str,
    /// The text itself.
    pub text: &'a [u8],
}

/// All that an authority is kept as.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// The CA's own certificate, and what leads from it to a root.
    pub chain: Part<'a>,
    /// The key of that certificate.
    pub key: Part<'a>,
    /// The roots of the trust domain. Where they are missing or empty, the chain must end with one.
    pub roots: Option<Part<'a>>,
}

/// What is read of a CA's certificate.
struct Signer {
    not_before: i64,
    not_after: i64,
    own_issuer: bool,
}

impl Authority {
    /// Reads an authority from `ca.crt`, its one root, and `ca.key` in `dir`.
    ///
    /// # Errors
    ///
    /// When a file is missing or unreadable, `ca.crt` is no root of a trust domain, or the two do not belong together.
    pub fn load(dir: &Path) -> Result<Self, AuthorityError> {
        let (certificate_path, key_path) = (dir.join("ca.crt"), dir.join("ca.key"));
        let read =
            |path: &Path| fs::read(path).map_err(|cause| AuthorityError::Io { path: path.to_owned(), cause });
        let (certificate, key) = (read(&certificate_path)?, read(&key_path)?);
        let (place, key_place) = (certificate_path.display().to_string(), key_path.display().to_string());
        let chain = Part { place: &place, text: &certificate };
        let [root] = &chain.certificates()?[..] else {
            return Err(chain.unreadable("not exactly one certificate in PEM"));
        };
        let named = svid::authority_domain(root).map_err(|rule| chain.no_authority(rule))?;
        let domain = named.ok_or_else(|| AuthorityError::Unnamed(place.clone()))?;
        Self::read(&domain, Parts { chain, key: Part { place: &key_place, text: &key }, roots: None })
    }

    /// Reads an authority of `domain` from PEM texts. The first certificate of the chain is the CA's own.
    ///
    /// # Errors
    ///
    /// When a text is none of these, the key is another certificate's, there is no root, or the CA is of another trust
    /// domain.
    pub fn read(domain: &TrustDomain, parts: Parts<'_>) -> Result<Self, AuthorityError> {
        let Parts { chain: part, key: key_part, roots: roots_part } = parts;
        let mut chain = part.certificates()?;
        let certificate = chain.first().cloned();
        let certificate = certificate.ok_or_else(|| part.unreadable("there is no certificate in it"))?;
        svid::check_issuer(&certificate, domain).map_err(|rule| part.no_authority(rule))?;
        let key = key_part.key()?;
        let mut limits = Signer::read(&certificate, &part)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        if !is_key_of(&certificate, issuer.key()) {
            return Err(AuthorityError::KeyMismatch(key_part.place.to_owned()));
        }
        for link in chain.iter().skip(1) {
            let link = Signer::read(link, &part)?;
            limits.not_before = limits.not_before.max(link.not_before);
            limits.not_after = limits.not_after.min(link.not_after);
            limits.own_issuer = link.own_issuer;
        }
        let mut roots = roots_part.as_ref().map(Part::certificates).transpose()?.unwrap_or_default();
        if roots.is_empty() {
            let last = chain.last().filter(|_| limits.own_issuer).cloned();
            roots.extend(last);
        }
        if roots.is_empty() {
            let missing = roots_part.unwrap_or(part);
            return Err(missing.unreadable("there is no root, neither here nor at the end of the chain"));
        }
        let place = || roots_part.unwrap_or(part).place.to_owned();
        Bundle::new(domain, roots.clone())
            .map_err(|cause| AuthorityError::Roots { place: place(), cause })?;
        // Everybody has the roots: what follows the first of them helps nobody.
        chain.truncate(chain.iter().position(|link| roots.contains(link)).unwrap_or(chain.len()));
        Ok(Self {
            domain: domain.clone(),
            issuer,
            certificate,
            chain,
            roots_pem: pem::write(&roots),
            roots,
            not_before: limits.not_before,
            not_after: limits.not_after,
        })
    }

    /// Whether peers with this authority's roots would believe what it issues at `now` (Unix seconds).
    ///
    /// # Errors
    ///
    /// Why they would not: the authority is not valid now, or its chain does not lead to its roots.
    pub fn prove(&self, now: i64) -> Result<(), AuthorityError> {
        let probe = format!("spiffe://{}/probe", self.domain);
        let probe = SpiffeId::parse(&probe).map_err(|_| AuthorityError::Unnamed(probe))?;
        let issued = self.issue(&probe, &[], Duration::from_mins(1), now)?;
        let roots = self.bundle();
        let roots = roots.map_err(|cause| AuthorityError::Roots { place: self.domain.to_string(), cause })?;
        let bundles = BTreeMap::from([(self.domain.clone(), roots)]);
        if let Some((leaf, rest)) = issued.chain.split_first() {
            for usage in [Usage::Client, Usage::Server] {
                Svid::verify(leaf, rest, &bundles, usage, now).map_err(AuthorityError::Powerless)?;
            }
        }
        Ok(())
    }
}

impl Part<'_> {
    fn unreadable(&self, what: &'static str) -> AuthorityError {
        AuthorityError::Unreadable { place: self.place.to_owned(), what }
    }

    fn no_authority(&self, rule: svid::IssuerRule) -> AuthorityError {
        AuthorityError::Root { place: self.place.to_owned(), rule }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, AuthorityError> {
        pem::read(self.text).map_err(|what| self.unreadable(what))
    }

    /// What is wrong is not said in detail: this text is a secret.
    fn key(&self) -> Result<KeyPair, AuthorityError> {
        let key = PrivateKeyDer::from_pem_slice(self.text);
        let key = key.map_err(|_| self.unreadable("no private key in PEM"))?;
        KeyPair::try_from(&key).map_err(|_| self.unreadable("a private key of an unknown kind"))
    }
}

impl Signer {
    fn read(certificate: &CertificateDer<'_>, part: &Part<'_>) -> Result<Self, AuthorityError> {
        let (_, parsed) = X509Certificate::from_der(certificate)
            .map_err(|_| part.unreadable("a certificate in it cannot be read"))?;
        Ok(Self {
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            own_issuer: parsed.issuer().as_raw() == parsed.subject().as_raw(),
        })
    }
}

fn is_key_of(certificate: &CertificateDer<'_>, key: &KeyPair) -> bool {
    X509Certificate::from_der(certificate)
        .is_ok_and(|(_, parsed)| parsed.public_key().raw == key.subject_public_key_info())
}

impl std::fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part").field("place", &self.place).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Parts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("chain", &self.chain.place).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::forge::{A, Ca, NOW, ca_params, domain, id, intermediate, root, self_signed, valid};

    fn read(chain: &str, key: &str, roots: Option<&str>) -> Result<Authority, AuthorityError> {
        let part = |place, text: &'static str| Part { place, text: text.as_bytes() };
        let leak = |text: &str| -> &'static str { String::from(text).leak() };
        Authority::read(
            &domain("a.test"),
            Parts {
                chain: part("tls.crt", leak(chain)),
                key: part("tls.key", leak(key)),
                roots: roots.map(|roots| part("ca.crt", leak(roots))),
            },
        )
    }

    fn pem(certificates: &[&Ca]) -> String {
        certificates.iter().map(|ca| ca.pem()).collect()
    }

    fn named(text: &str) -> rcgen::CertificateParams {
        let mut params = ca_params("a.test");
        params.distinguished_name.push(rcgen::DnType::CommonName, text);
        params
    }

    /// A root, and below it a CA below a CA.
    fn three() -> (Ca, Ca, Ca) {
        let root = self_signed(named("root"));
        let middle = intermediate(named("middle"), &root);
        let signer = intermediate(named("signer"), &middle);
        (root, middle, signer)
    }

    #[test]
    fn intermediates_go_behind_the_leaf_and_the_root_does_not() {
        let (root, middle, signer) = three();
        let key = signer.key().serialize_pem();
        let chain = pem(&[&signer, &middle]);
        for (chain, roots) in [
            (chain.clone(), Some(root.pem())),
            (chain + &root.pem(), None),
            (pem(&[&signer, &middle, &root]), Some(root.pem())),
        ] {
            let authority = read(&chain, &key, roots.as_deref()).unwrap();
            authority.prove(NOW).unwrap();
            let issued = authority.issue(&id(A), &[], Duration::from_mins(1), NOW).unwrap();
            assert_eq!(issued.chain()[1..], [signer.der().clone(), middle.der().clone()]);
            assert_eq!(authority.roots(), [root.der().clone()]);
        }
    }

    #[test]
    fn a_root_that_signs_itself_needs_nothing_beside_it() {
        let root = root("a.test");
        for roots in [None, Some(" ")] {
            let authority = read(&root.pem(), &root.key().serialize_pem(), roots).unwrap();
            authority.prove(NOW).unwrap();
            assert_eq!(authority.issue(&id(A), &[], Duration::from_mins(1), NOW).unwrap().chain().len(), 1);
        }
    }

    #[test]
    fn nothing_outlives_the_shortest_link() {
        let mut params = named("signer");
        valid(&mut params, -30, 600);
        let root = self_signed(named("root"));
        let signer = intermediate(params, &root);
        let authority = read(&signer.pem(), &signer.key().serialize_pem(), Some(&root.pem())).unwrap();
        let issued = authority.issue(&id(A), &[], Duration::from_hours(1), NOW).unwrap();
        assert_eq!((issued.not_after, authority.not_before()), (NOW + 600, NOW - 30));
    }

    #[test]
    fn what_is_broken_is_named() {
        let (top, middle, signer) = three();
        let (key, chain) = (signer.key().serialize_pem(), pem(&[&signer, &middle]));
        let error =
            |chain: &str, key: &str, roots: Option<&str>| read(chain, key, roots).unwrap_err().to_string();
        assert_eq!(error("", &key, None), "tls.crt: there is no certificate in it");
        assert_eq!(error("x", &key, None), "tls.crt: it holds no certificate in PEM");
        assert_eq!(error(&chain, "x", None), "tls.key: no private key in PEM");
        assert_eq!(
            error(&chain, &top.key().serialize_pem(), Some(&top.pem())),
            "tls.key: the key does not belong to the certificate beside it"
        );
        assert_eq!(
            error(&chain, &key, None),
            "tls.crt: there is no root, neither here nor at the end of the chain"
        );
        assert!(error(&chain, &key, Some("-----BEGIN CERTIFICATE-----\nx")).starts_with("ca.crt: its PEM"));
        let foreign = root("b.test");
        assert_eq!(
            error(&foreign.pem(), &foreign.key().serialize_pem(), None),
            "tls.crt: it belongs to trust domain b.test"
        );
        assert!(
            error(&chain, &key, Some(&foreign.pem())).starts_with("ca.crt: certificate 1 cannot be a root")
        );
    }

    #[test]
    fn a_chain_that_leads_elsewhere_is_found_out() {
        let (_, middle, signer) = three();
        let other = root("a.test");
        let key = signer.key().serialize_pem();
        let authority = read(&pem(&[&signer, &middle]), &key, Some(&other.pem())).unwrap();
        assert!(matches!(authority.prove(NOW), Err(AuthorityError::Powerless(_))));
        assert!(matches!(authority.prove(NOW + 86_400), Err(AuthorityError::Expired { .. })));
    }
}

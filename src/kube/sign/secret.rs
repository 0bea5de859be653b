//! The Secret with the issuer: read as whoever made it wrote it, and made where nobody did.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};

use super::ledger::fingerprint;
use crate::identity::{
    Authority, AuthorityError, TrustDomain,
    authority::{Part, Parts},
    pem,
};
use crate::kube::words::{MANAGED_BY, US};

const CHAIN: &str = "tls.crt";
const KEY: &str = "tls.key";
const ROOTS: &str = "ca.crt";
/// The annotation with the fingerprint of a certificate that we made ourselves, and so renew ourselves. Who puts another
/// one into the Secret is not overruled.
const OURS: &str = "dragoman.dev/issuer";

/// The authority in a Secret, proved to be of use at `now`.
pub(super) fn read(secret: &Secret, domain: &TrustDomain, now: i64) -> Result<Authority, AuthorityError> {
    let name = secret.metadata.name.as_deref().unwrap_or_default();
    let data = secret.data.as_ref();
    let place = |key: &str| format!("Secret {name}, {key}");
    let (chain, key, roots) = (place(CHAIN), place(KEY), place(ROOTS));
    let text = |key: &str| data.and_then(|data| data.get(key)).map(|bytes| bytes.0.as_slice());
    let required = |key: &str, place: &str| {
        text(key).ok_or_else(|| AuthorityError::Unreadable { place: place.to_owned(), what: "it is missing" })
    };
    let parts = Parts {
        chain: Part { place: &chain, text: required(CHAIN, &chain)? },
        key: Part { place: &key, text: required(KEY, &key)? },
        roots: text(ROOTS).map(|text| Part { place: &roots, text }),
    };
    let authority = Authority::read(domain, parts)?;
    authority.prove(now)?;
    Ok(authority)
}

/// A Secret with an authority that we have made; `replaces` is the one in whose place it comes.
pub(super) fn write(name: &str, authority: &Authority, replaces: Option<&Secret>) -> Secret {
    let bytes = |text: String| ByteString(text.into_bytes());
    let data = BTreeMap::from([
        (CHAIN.to_owned(), bytes(pem::write([authority.certificate()]))),
        (KEY.to_owned(), bytes(authority.key_pem())),
        (ROOTS.to_owned(), bytes(authority.root_pem().to_owned())),
    ]);
    let mut secret = replaces.cloned().unwrap_or_else(|| Secret {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        type_: Some("kubernetes.io/tls".to_owned()),
        ..Secret::default()
    });
    secret.metadata.labels.get_or_insert_default().insert(MANAGED_BY.to_owned(), US.to_owned());
    let ours = (OURS.to_owned(), fingerprint(authority.certificate()));
    secret.metadata.annotations.get_or_insert_default().extend([ours]);
    secret.data = Some(data);
    secret
}

/// Whether we made what is in a Secret, and four fifths of its life are over.
pub(super) fn is_due(secret: &Secret, authority: &Authority, now: i64) -> bool {
    let ours = secret.metadata.annotations.as_ref().and_then(|notes| notes.get(OURS));
    let life = authority.not_after().saturating_sub(authority.not_before());
    ours.is_some_and(|ours| *ours == fingerprint(authority.certificate()))
        && now >= authority.not_before().saturating_add(life / 5 * 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::forge::{NOW, domain, root};

    const YEAR: i64 = 365 * 86_400;

    fn made() -> (Authority, Secret) {
        let authority = Authority::new(&domain("a.test"), NOW).unwrap();
        let secret = write("dragoman-issuer", &authority, None);
        (authority, secret)
    }

    #[test]
    fn what_is_made_is_read_again() {
        let (authority, secret) = made();
        let read = read(&secret, &domain("a.test"), NOW).unwrap();
        assert_eq!((read.certificate(), read.roots()), (authority.certificate(), authority.roots()));
        assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/tls"));
    }

    #[test]
    fn what_is_missing_or_broken_is_named() {
        let (_, good) = made();
        let error = |secret: &Secret| read(secret, &domain("a.test"), NOW).unwrap_err().to_string();
        assert_eq!(error(&Secret::default()), "Secret , tls.crt: it is missing");
        for (key, text, wrong) in [
            (CHAIN, "x", "Secret dragoman-issuer, tls.crt: it holds no certificate in PEM"),
            (KEY, "x", "Secret dragoman-issuer, tls.key: no private key in PEM"),
            (ROOTS, "x", "Secret dragoman-issuer, ca.crt: it holds no certificate in PEM"),
        ] {
            let mut secret = good.clone();
            secret.data.as_mut().unwrap().insert(key.to_owned(), ByteString(text.into()));
            assert_eq!(error(&secret), wrong);
        }
        let mut foreign = good.clone();
        let roots = ByteString(root("a.test").pem().into_bytes());
        foreign.data.as_mut().unwrap().insert(ROOTS.to_owned(), roots);
        assert!(error(&foreign).starts_with("no peer would believe it"), "{}", error(&foreign));
        assert!(read(&good, &domain("b.test"), NOW).is_err());
        assert!(read(&good, &domain("a.test"), NOW + 11 * YEAR).is_err());
    }

    #[test]
    fn only_our_own_is_renewed_when_it_has_grown_old() {
        let (authority, secret) = made();
        assert!(!is_due(&secret, &authority, NOW + 7 * YEAR));
        assert!(is_due(&secret, &authority, NOW + 8 * YEAR));
        let next = Authority::new(&domain("a.test"), NOW).unwrap();
        assert!(!is_due(&secret, &next, NOW + 8 * YEAR), "somebody else has put it there");
        let mut kept = secret;
        kept.metadata.resource_version = Some("7".to_owned());
        let replaced = write("dragoman-issuer", &next, Some(&kept));
        assert!(is_due(&replaced, &next, NOW + 8 * YEAR));
        assert_eq!(replaced.metadata.resource_version.as_deref(), Some("7"));
    }
}

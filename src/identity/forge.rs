//! Certificates for tests: good ones, and through their parameters every bad one.

use std::{collections::BTreeMap, fs, os::unix::fs::symlink, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::time::ASN1Time;

use super::{Bundle, Clock, Material, SpiffeId, TrustDomain};

/// The time at which tests happen.
pub(crate) const NOW: i64 = 1_800_000_000;
/// An ID of trust domain `a.test`.
pub(crate) const A: &str = "spiffe://a.test/ns/travel/sa/planner";
/// An ID of trust domain `b.test`.
pub(crate) const B: &str = "spiffe://b.test/ns/travel/sa/currency";

/// A CA of a test.
pub(crate) type Ca = CertifiedIssuer<'static, KeyPair>;

/// A clock that stands still.
pub(crate) fn clock() -> Clock {
    Clock::new(|| NOW)
}

pub(crate) fn domain(text: &str) -> TrustDomain {
    TrustDomain::parse(text).unwrap()
}

pub(crate) fn id(text: &str) -> SpiffeId {
    SpiffeId::parse(text).unwrap()
}

pub(crate) fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

/// Makes a certificate valid from `from` to `to`, in seconds relative to the tests' time.
pub(crate) fn valid(params: &mut CertificateParams, from: i64, to: i64) {
    params.not_before = ASN1Time::from_timestamp(NOW + from).unwrap().to_datetime();
    params.not_after = ASN1Time::from_timestamp(NOW + to).unwrap().to_datetime();
}

/// What a good CA of `domain` says.
pub(crate) fn ca_params(domain: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, domain);
    params.subject_alt_names = vec![uri(&format!("spiffe://{domain}"))];
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    valid(&mut params, -60, 86400);
    params
}

pub(crate) fn root(domain: &str) -> Ca {
    self_signed(ca_params(domain))
}

pub(crate) fn self_signed(params: CertificateParams) -> Ca {
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

pub(crate) fn intermediate(params: CertificateParams, parent: &Ca) -> Ca {
    CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), parent).unwrap()
}

/// What a good leaf for `id` says.
pub(crate) fn leaf_params(id: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![uri(id)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    valid(&mut params, -60, 3600);
    params
}

pub(crate) fn sign(params: &CertificateParams, ca: &Ca) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, ca).unwrap();
    (leaf.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into())
}

/// A bundle of one root for each trust domain.
pub(crate) fn bundles(roots: &[(&str, &Ca)]) -> BTreeMap<TrustDomain, Bundle> {
    let bundle = |&(name, root): &(&str, &Ca)| {
        (domain(name), Bundle::new(&domain(name), vec![root.der().clone()]).unwrap())
    };
    roots.iter().map(bundle).collect()
}

/// Material for `id`, issued by `ca`.
pub(crate) fn material(name: &str, ca: &Ca, roots: &[(&str, &Ca)]) -> Material {
    let (leaf, key) = sign(&leaf_params(name), ca);
    Material::new(id(name).trust_domain(), vec![leaf], key, bundles(roots), NOW).unwrap()
}

/// Replaces what is in a volume the way the kubelet does: a new directory, and one move of the link `..data`.
pub(crate) fn swap(volume: &Path, files: &[(&str, &str)], stamp: &str) {
    let fresh = format!("..{stamp}");
    fs::create_dir(volume.join(&fresh)).unwrap();
    for (name, text) in files {
        fs::write(volume.join(&fresh).join(name), text).unwrap();
    }
    let before = fs::read_link(volume.join("..data")).ok();
    symlink(&fresh, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    for (name, _) in files {
        let link = volume.join(name);
        if link.symlink_metadata().is_err() {
            symlink(Path::new("..data").join(name), link).unwrap();
        }
    }
    for entry in fs::read_dir(volume).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.starts_with("..") && !files.iter().any(|(kept, _)| *kept == name) {
            fs::remove_file(volume.join(name)).unwrap();
        }
    }
    if let Some(old) = before {
        fs::remove_dir_all(volume.join(old)).unwrap();
    }
}

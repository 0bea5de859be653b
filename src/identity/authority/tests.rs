//! What an authority makes, and what it refuses to make.

use std::{collections::BTreeMap, fs};

use tempfile::TempDir;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

use super::*;
use crate::identity::{
    IssuerRule, Svid, Usage,
    forge::{A, B, NOW, ca_params, domain, id, leaf_params, self_signed},
};

fn authority() -> Authority {
    Authority::new(&domain("a.test"), NOW).unwrap()
}

fn verify(authority: &Authority, issued: &Issued) -> Svid {
    let bundles = BTreeMap::from([(domain("a.test"), authority.bundle().unwrap())]);
    Svid::verify(&issued.chain()[0], &[], &bundles, Usage::Server, NOW).unwrap()
}

#[test]
fn what_it_issues_is_an_svid_for_a_day() {
    let authority = authority();
    let issued = authority.issue(&id(A), &[], LEAF_LIFETIME, NOW).unwrap();
    let svid = verify(&authority, &issued);
    assert_eq!(svid, Svid { id: id(A), not_before: NOW - 60, not_after: NOW + 86400 });
    assert_eq!(issued.not_after, svid.not_after);
}

#[test]
fn dns_names_stand_beside_the_id() {
    let name = "planner.travel.svc.cluster.local";
    let issued = authority().issue(&id(A), &[name], LEAF_LIFETIME, NOW).unwrap();
    let chain = issued.chain();
    let (_, parsed) = X509Certificate::from_der(&chain[0]).unwrap();
    let names = parsed.subject_alternative_name().unwrap().unwrap();
    assert!(names.critical, "the subject is empty");
    assert_eq!(names.value.general_names, [GeneralName::URI(A), GeneralName::DNSName(name)]);
    for wrong in ["", "a..b", "a.*.test", "*", "*a.test", "*.", "a b"] {
        let refused = authority().issue(&id(A), &[wrong], LEAF_LIFETIME, NOW);
        assert!(matches!(refused, Err(AuthorityError::Dns(name)) if name == wrong));
    }
}

#[test]
fn it_refuses_what_is_not_its_own_to_give() {
    let refused = authority().issue(&id(B), &[], LEAF_LIFETIME, NOW).unwrap_err();
    assert_eq!(refused.to_string(), format!("{B} cannot be issued by the authority of a.test"));
    let refused = authority().issue(&id("spiffe://a.test"), &[], LEAF_LIFETIME, NOW);
    assert!(matches!(refused, Err(AuthorityError::Pathless(_))));
}

#[test]
fn nothing_it_issues_outlives_its_root() {
    let authority = authority();
    let end = NOW + ROOT_LIFETIME;
    let issued = authority.issue(&id(A), &[], LEAF_LIFETIME, end - 60).unwrap();
    assert_eq!(issued.not_after, end);
    for now in [end, NOW - 61] {
        let refused = authority.issue(&id(A), &[], LEAF_LIFETIME, now);
        assert!(matches!(refused, Err(AuthorityError::Expired { .. })), "{now}");
    }
}

#[test]
fn it_comes_back_from_its_files() {
    let dir = TempDir::new().unwrap();
    let made = authority();
    made.save(dir.path()).unwrap();
    let read = Authority::load(dir.path()).unwrap();
    assert_eq!(read.trust_domain(), made.trust_domain());
    assert_eq!(read.roots(), made.roots());
    assert_eq!(read.root_pem(), made.root_pem());
    let issued = read.issue(&id(A), &[], LEAF_LIFETIME, NOW).unwrap();
    assert_eq!(verify(&made, &issued).id, id(A));
}

#[test]
fn a_roots_key_is_never_overwritten() {
    let dir = TempDir::new().unwrap();
    authority().save(dir.path()).unwrap();
    let before = fs::read(dir.path().join("ca.key")).unwrap();
    assert!(matches!(authority().save(dir.path()), Err(AuthorityError::Exists(_))));
    assert_eq!(fs::read(dir.path().join("ca.key")).unwrap(), before);
}

#[test]
fn files_that_are_no_authority_are_refused() {
    let dir = TempDir::new().unwrap();
    let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    assert!(matches!(Authority::load(dir.path()), Err(AuthorityError::Io { .. })));
    let (made, other) = (authority(), authority());
    made.save(dir.path()).unwrap();
    put("ca.crt", other.root_pem());
    assert!(matches!(Authority::load(dir.path()), Err(AuthorityError::KeyMismatch(_))));
    put("ca.crt", &[made.root_pem(), other.root_pem()].concat());
    assert!(matches!(Authority::load(dir.path()), Err(AuthorityError::Unreadable { .. })));
    put("ca.crt", &self_signed(leaf_params(A)).pem());
    assert!(matches!(
        Authority::load(dir.path()),
        Err(AuthorityError::Root { rule: IssuerRule::NoAuthority, .. })
    ));
    let mut nameless = ca_params("a.test");
    nameless.subject_alt_names.clear();
    put("ca.crt", &self_signed(nameless).pem());
    assert!(matches!(Authority::load(dir.path()), Err(AuthorityError::Unnamed(_))));
    put("ca.crt", made.root_pem());
    put("ca.key", "no key");
    assert!(matches!(Authority::load(dir.path()), Err(AuthorityError::Unreadable { .. })));
}

#[test]
fn a_draft_left_behind_does_not_stay_open_to_others() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join(".tls.key.new"), "old").unwrap();
    authority().issue(&id(A), &[], LEAF_LIFETIME, NOW).unwrap().save(dir.path()).unwrap();
    let mode = fs::metadata(dir.path().join("tls.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut names: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["ca.crt", "tls.crt", "tls.key"]);
}

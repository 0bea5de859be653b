//! Directories that are identities, and those that are not.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use tempfile::TempDir;

use super::*;
use crate::identity::{
    Authority, Issued, IssuerRule, LeafRule, Untrusted,
    forge::{A, B, NOW, domain, id},
};

fn authority(name: &str) -> Authority {
    Authority::new(&domain(name), NOW).unwrap()
}

fn issue(authority: &Authority, name: &str) -> Issued {
    authority.issue(&id(name), &[], Duration::from_secs(3600), NOW).unwrap()
}

/// A directory with `tls.crt`, `tls.key` and `ca.crt` for [`A`].
fn usual() -> (TempDir, Authority) {
    let (dir, authority) = (TempDir::new().unwrap(), authority("a.test"));
    issue(&authority, A).save(dir.path()).unwrap();
    (dir, authority)
}

fn put(dir: &TempDir, name: &str, text: impl AsRef<[u8]>) {
    fs::write(dir.path().join(name), text).unwrap();
}

fn cut(dir: &TempDir, name: &str) {
    fs::remove_file(dir.path().join(name)).unwrap();
}

fn load_now(dir: &TempDir) -> Result<Material, LoadError> {
    load(dir.path(), &domain("a.test"), NOW)
}

/// What loading complains about, without the directory.
fn complaint(dir: &TempDir) -> String {
    let text = load_now(dir).unwrap_err().to_string();
    let prefix = format!("{}", dir.path().display());
    assert!(text.starts_with(&prefix), "{text} names no file in {prefix}");
    text.replace(&format!("{prefix}/"), "").replace(&prefix, "DIR")
}

fn domains(material: &Material) -> Vec<&str> {
    material.bundles.keys().map(TrustDomain::as_str).collect()
}

#[test]
fn the_three_usual_files_are_an_identity() {
    let (dir, authority) = usual();
    let material = load_now(&dir).unwrap();
    assert_eq!(material.id, id(A));
    assert_eq!((material.not_before, material.not_after), (NOW - 60, NOW + 3600));
    assert_eq!(material.chain().len(), 1);
    assert_eq!(material.bundles[&domain("a.test")].roots(), [authority.roots()[0].clone()]);
    assert_eq!(domains(&material), ["a.test"]);
}

#[test]
fn a_key_never_shows_in_debug_output() {
    let (dir, authority) = usual();
    let issued = issue(&authority, A);
    let shown = format!("{:?} {:?} {authority:?}", load_now(&dir).unwrap(), issued);
    assert!(shown.contains(A) && !shown.to_lowercase().contains("key"), "{shown}");
}

#[test]
fn other_domains_have_bundles_of_their_own() {
    let (dir, _) = usual();
    let (b, c) = (authority("b.test"), authority("c.test"));
    put(&dir, "b.test.trust-bundle.pem", b.root_pem());
    put(&dir, "c.test.spiffe-trust-bundle.pem", c.root_pem());
    let material = load_now(&dir).unwrap();
    assert_eq!(domains(&material), ["a.test", "b.test", "c.test"]);
    assert_eq!(material.bundles[&domain("b.test")].roots(), [b.roots()[0].clone()]);
    cut(&dir, "b.test.trust-bundle.pem");
    assert_eq!(domains(&load_now(&dir).unwrap()), ["a.test", "c.test"]);
}

#[test]
fn the_newest_name_of_a_bundle_wins_and_the_others_are_not_added_to_it() {
    let (dir, _) = usual();
    let many = [authority("b.test"), authority("b.test"), authority("b.test")];
    let suffixes = [".trust-bundle.pem", ".spiffe-trust-bundle.pem", ".spiffe-trust-bundle.x509.pem"];
    for (authority, suffix) in many.iter().zip(suffixes) {
        put(&dir, &format!("b.test{suffix}"), authority.root_pem());
        let material = load_now(&dir).unwrap();
        assert_eq!(material.bundles[&domain("b.test")].roots(), [authority.roots()[0].clone()], "{suffix}");
    }
}

#[test]
fn a_bundle_file_of_the_own_domain_is_preferred_to_the_issuers_certificate() {
    let (dir, authority) = usual();
    let next = self::authority("a.test");
    put(&dir, "a.test.trust-bundle.pem", [authority.root_pem(), next.root_pem()].concat());
    assert_eq!(load_now(&dir).unwrap().bundles[&domain("a.test")].roots().len(), 2);
    cut(&dir, "ca.crt");
    assert_eq!(load_now(&dir).unwrap().bundles[&domain("a.test")].roots().len(), 2);
}

#[test]
fn a_credential_bundle_holds_key_and_chain() {
    for name in CREDENTIALS {
        let (dir, authority) = (TempDir::new().unwrap(), authority("a.test"));
        let issued = issue(&authority, A);
        put(&dir, name, issued.key_pem() + &issued.chain_pem());
        put(&dir, "a.test.spiffe-trust-bundle.x509.pem", authority.root_pem());
        assert_eq!(load_now(&dir).unwrap().id, id(A), "{name}");
    }
}

#[test]
fn the_first_name_of_a_credential_bundle_wins() {
    let (dir, authority) = (TempDir::new().unwrap(), authority("a.test"));
    for (name, who) in CREDENTIALS.iter().zip(["first", "second", "third"]) {
        let issued = issue(&authority, &format!("spiffe://a.test/{who}"));
        put(&dir, name, issued.key_pem() + &issued.chain_pem());
    }
    put(&dir, "ca.crt", authority.root_pem());
    assert_eq!(load_now(&dir).unwrap().id.path(), "/first");
}

#[test]
fn what_is_missing_is_named() {
    let (dir, _) = usual();
    cut(&dir, "tls.key");
    assert_eq!(complaint(&dir), "tls.key is missing");
    cut(&dir, "tls.crt");
    assert_eq!(complaint(&dir), "tls.crt is missing");
    let (dir, _) = usual();
    cut(&dir, "ca.crt");
    assert_eq!(complaint(&dir), "ca.crt is missing, and so is a.test.trust-bundle.pem");
    put(&dir, "ca.crt", "\n");
    assert_eq!(complaint(&dir), "ca.crt is missing, and so is a.test.trust-bundle.pem");
    let gone = dir.path().join("gone");
    let text = load(&gone, &domain("a.test"), NOW).unwrap_err().to_string();
    assert!(text.starts_with(&gone.display().to_string()), "{text}");
}

#[test]
fn an_identity_of_another_domain_is_refused() {
    let (dir, authority) = (TempDir::new().unwrap(), authority("b.test"));
    issue(&authority, B).save(dir.path()).unwrap();
    // Its CA came along as ca.crt and is no root of this mesh either, but that explains less.
    let text = complaint(&dir);
    assert_eq!(text, format!("tls.crt: {B} is of trust domain b.test, but this mesh is a.test"));
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (dir, authority) = usual();
    put(&dir, "tls.key", issue(&authority, A).key_pem());
    assert_eq!(complaint(&dir), "tls.key: the private key does not belong to the certificate");
}

#[test]
fn a_chain_that_peers_would_refuse_is_refused() {
    let (dir, _) = usual();
    put(&dir, "ca.crt", authority("a.test").root_pem());
    assert!(complaint(&dir).starts_with(&format!("tls.crt: {A}: its chain does not verify")));
}

#[test]
fn an_identity_out_of_its_time_is_refused() {
    let (dir, _) = usual();
    let at = |now| match load(dir.path(), &domain("a.test"), now).unwrap_err() {
        LoadError::Material { cause: MaterialError::Untrusted(cause), .. } => cause,
        other => panic!("refused for another reason: {other}"),
    };
    assert_eq!(at(NOW + 3601), Untrusted::Expired { id: id(A), not_after: NOW + 3600 });
    assert_eq!(at(NOW - 61), Untrusted::NotYetValid { id: id(A), not_before: NOW - 60 });
}

#[test]
fn a_leaf_that_breaks_a_rule_is_refused_as_ones_own() {
    let (dir, authority) = usual();
    put(&dir, "tls.crt", authority.root_pem());
    let Err(LoadError::Material { cause: MaterialError::Untrusted(cause), .. }) = load_now(&dir) else {
        panic!()
    };
    assert!(matches!(cause, Untrusted::Leaf { rule: LeafRule::NoPath, .. }), "{cause:?}");
}

#[test]
fn broken_files_are_refused_without_quoting_them() {
    let (dir, _) = usual();
    let key = fs::read_to_string(dir.path().join("tls.key")).unwrap();
    put(&dir, "tls.key", &key[..key.len() / 2]);
    assert_eq!(complaint(&dir), "tls.key: its PEM is broken or cut off");
    put(&dir, "tls.key", "secret!");
    assert_eq!(complaint(&dir), "tls.key: it holds no private key");
    let (dir, _) = usual();
    put(&dir, "tls.crt", "not a certificate");
    assert_eq!(complaint(&dir), "tls.crt: it holds no certificate in PEM");
    put(&dir, "tls.crt", "");
    assert_eq!(complaint(&dir), "tls.crt: there is no certificate");
    put(&dir, "tls.crt", vec![b'x'; 1024 * 1024 + 1]);
    assert_eq!(complaint(&dir), "tls.crt is larger than 1 MiB");
}

#[test]
fn a_broken_bundle_is_refused_and_an_empty_one_is_none() {
    let (dir, authority) = usual();
    put(&dir, "b.test.trust-bundle.pem", "garbage");
    assert_eq!(complaint(&dir), "b.test.trust-bundle.pem: it holds no certificate in PEM");
    let half = authority.root_pem().len() / 2;
    put(&dir, "b.test.trust-bundle.pem", &authority.root_pem()[..half]);
    assert_eq!(complaint(&dir), "b.test.trust-bundle.pem: its PEM is broken or cut off");
    put(&dir, "b.test.trust-bundle.pem", authority.root_pem());
    let Err(LoadError::Root { cause, .. }) = load_now(&dir) else { panic!() };
    assert_eq!(cause.rule, IssuerRule::Foreign(domain("a.test")));
    put(&dir, "b.test.trust-bundle.pem", "");
    assert_eq!(domains(&load_now(&dir).unwrap()), ["a.test"]);
    put(&dir, "b test.trust-bundle.pem", "");
    assert!(complaint(&dir).starts_with("b test.trust-bundle.pem: "));
}

#[test]
fn strange_neighbours_do_not_matter() {
    let (dir, _) = usual();
    put(&dir, "notes.txt", "x");
    put(&dir, "hints.json", "{}");
    fs::create_dir(dir.path().join("..2026")).unwrap();
    assert!(load_now(&dir).is_ok());
    cut(&dir, "tls.crt");
    fs::create_dir(dir.path().join("tls.crt")).unwrap();
    assert_eq!(complaint(&dir), "tls.crt: not a file");
}

#[test]
fn an_authority_writes_keys_for_the_owner_alone() {
    let (dir, authority) = usual();
    authority.save(dir.path()).unwrap();
    let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("tls.key"), mode("ca.key")), (0o600, 0o600));
    assert_eq!(mode("tls.crt") & 0o400, 0o400);
}

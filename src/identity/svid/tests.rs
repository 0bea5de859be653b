//! Chains that are SVIDs, and every way not to be one.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, KeyUsagePurpose, NameConstraints, SanType,
};

use super::*;
use crate::identity::{
    Material,
    forge::{
        A, B, Ca, NOW, bundles, ca_params, domain, id, intermediate, leaf_params, root, self_signed, sign,
        uri, valid,
    },
};

/// Judges a leaf of `a.test` that says what `change` makes of a good one.
fn judge(change: impl FnOnce(&mut CertificateParams)) -> Result<Svid, Untrusted> {
    let ca = root("a.test");
    let mut params = leaf_params(A);
    change(&mut params);
    let (leaf, _) = sign(&params, &ca);
    verify(&leaf, &[], &[("a.test", &ca)])
}

fn verify(
    leaf: &CertificateDer<'_>,
    rest: &[CertificateDer<'_>],
    roots: &[(&str, &Ca)],
) -> Result<Svid, Untrusted> {
    let client = Svid::verify(leaf, rest, &bundles(roots), Usage::Client, NOW);
    assert_eq!(client, Svid::verify(leaf, rest, &bundles(roots), Usage::Server, NOW));
    client
}

/// The rule that a leaf breaks when it is changed so.
fn broken(change: impl FnOnce(&mut CertificateParams)) -> LeafRule {
    match judge(change) {
        Err(Untrusted::Leaf { rule, .. }) => rule,
        other => panic!("not refused by a rule for leafs: {other:?}"),
    }
}

#[test]
fn a_good_leaf_is_who_it_says_for_as_long_as_it_says() {
    let svid = judge(|_| {}).unwrap();
    assert_eq!(svid, Svid { id: id(A), not_before: NOW - 60, not_after: NOW + 3600 });
}

#[test]
fn other_names_beside_the_id_are_allowed() {
    let dns = SanType::DnsName("planner.travel.svc.cluster.local".try_into().unwrap());
    assert_eq!(judge(|params| params.subject_alt_names.push(dns)).unwrap().id, id(A));
}

#[test]
fn exactly_one_uri_is_a_name() {
    assert_eq!(broken(|params| params.subject_alt_names.clear()), LeafRule::NoUri);
    assert_eq!(broken(|params| params.subject_alt_names.push(uri(B))), LeafRule::ManyUris(2));
    assert_eq!(broken(|params| params.subject_alt_names.push(uri("https://a.test"))), LeafRule::ManyUris(2));
    assert_eq!(broken(|params| params.subject_alt_names.push(uri("//not a uri"))), LeafRule::ManyUris(2));
    let dns = SanType::DnsName("a.test".try_into().unwrap());
    assert_eq!(broken(|params| params.subject_alt_names = vec![dns]), LeafRule::NoUri);
}

#[test]
fn the_uri_is_a_spiffe_id_of_a_workload() {
    let other = "https://a.test/x".to_owned();
    let change = |params: &mut CertificateParams| params.subject_alt_names = vec![uri(&other)];
    assert_eq!(broken(change), LeafRule::Id(IdError::Scheme(other.clone())));
    assert_eq!(broken(|params| params.subject_alt_names = vec![uri("spiffe://a.test")]), LeafRule::NoPath);
}

#[test]
fn a_ca_is_no_workload() {
    let ca = IsCa::Ca(BasicConstraints::Unconstrained);
    assert_eq!(broken(|params| params.is_ca = ca), LeafRule::CertificateAuthority);
    assert!(judge(|params| params.is_ca = IsCa::NoCa).is_ok(), "basicConstraints may be absent");
}

#[test]
fn a_leafs_key_signs_handshakes_and_nothing_else() {
    let usages = |usages: &[KeyUsagePurpose]| {
        let usages = usages.to_vec();
        move |params: &mut CertificateParams| params.key_usages = usages
    };
    use KeyUsagePurpose::{CrlSign, DigitalSignature, KeyCertSign, KeyEncipherment};
    assert_eq!(broken(usages(&[])), LeafRule::KeyUsageAbsent);
    assert_eq!(broken(usages(&[KeyEncipherment])), LeafRule::NoDigitalSignature);
    assert_eq!(broken(usages(&[DigitalSignature, KeyCertSign])), LeafRule::Signs);
    assert_eq!(broken(usages(&[DigitalSignature, CrlSign])), LeafRule::Signs);
    assert!(judge(usages(&[DigitalSignature, KeyEncipherment])).is_ok());
}

#[test]
fn a_key_usage_that_may_be_ignored_is_none() {
    let plain = CustomExtension::from_oid_content(&[2, 5, 29, 15], vec![3, 2, 7, 0x80]);
    let rule = broken(|params| {
        params.key_usages.clear();
        params.custom_extensions.push(plain);
    });
    assert_eq!(rule, LeafRule::KeyUsageNotCritical);
}

#[test]
fn an_extension_that_is_there_twice_is_not_read() {
    let mut second = CustomExtension::from_oid_content(&[2, 5, 29, 15], vec![3, 2, 7, 0x80]);
    second.set_criticality(true);
    let rule = broken(|params| params.custom_extensions.push(second));
    assert!(matches!(rule, LeafRule::Unreadable(_)), "{rule:?}");
}

#[test]
fn extended_key_usage_is_for_both_ends_or_absent() {
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, ServerAuth};
    assert_eq!(broken(|params| params.extended_key_usages = vec![ClientAuth]), LeafRule::NoServerAuth);
    assert_eq!(broken(|params| params.extended_key_usages = vec![ServerAuth]), LeafRule::NoClientAuth);
    assert_eq!(broken(|params| params.extended_key_usages = vec![Any]), LeafRule::NoServerAuth);
    assert!(judge(|params| params.extended_key_usages.clear()).is_ok());
}

#[test]
fn a_leaf_is_valid_in_its_time() {
    let late = judge(|params| valid(params, -7200, -1));
    assert_eq!(late, Err(Untrusted::Expired { id: id(A), not_after: NOW - 1 }));
    let early = judge(|params| valid(params, 1, 7200));
    assert_eq!(early, Err(Untrusted::NotYetValid { id: id(A), not_before: NOW + 1 }));
    assert!(judge(|params| valid(params, 0, 0)).is_ok(), "both ends belong to it");
    let text = judge(|params| valid(params, -7200, -1)).unwrap_err().to_string();
    assert_eq!(text, format!("{A}: its certificate expired at Fri, 15 Jan 2027 07:59:59 GMT"));
}

#[test]
fn bytes_behind_a_certificate_are_refused() {
    let ca = root("a.test");
    let (leaf, _) = sign(&leaf_params(A), &ca);
    let longer = CertificateDer::from([&leaf[..], b"tail"].concat());
    let rule = LeafRule::TrailingBytes(4);
    assert_eq!(verify(&longer, &[], &[("a.test", &ca)]), Err(Untrusted::Leaf { id: None, rule }));
    let shorter = CertificateDer::from(leaf[..leaf.len() - 1].to_vec());
    let refused = verify(&shorter, &[], &[("a.test", &ca)]);
    assert!(matches!(refused, Err(Untrusted::Leaf { rule: LeafRule::Unreadable(_), .. })), "{refused:?}");
}

#[test]
fn an_unknown_trust_domain_has_no_bundle() {
    let (a, b) = (root("a.test"), root("b.test"));
    let (leaf, _) = sign(&leaf_params(B), &b);
    let refused = verify(&leaf, &[], &[("a.test", &a)]).unwrap_err();
    assert_eq!(refused, Untrusted::NoBundle { id: id(B) });
    assert_eq!(refused.to_string(), format!("{B}: no bundle for trust domain b.test"));
}

#[test]
fn an_empty_bundle_believes_nobody() {
    let ca = root("a.test");
    let (leaf, _) = sign(&leaf_params(A), &ca);
    let empty = BTreeMap::from([(domain("a.test"), Bundle::new(&domain("a.test"), Vec::new()).unwrap())]);
    let refused = Svid::verify(&leaf, &[], &empty, Usage::Client, NOW);
    assert!(matches!(refused, Err(Untrusted::Chain { .. })), "{refused:?}");
}

#[test]
fn one_domains_root_never_vouches_for_another_domain() {
    let (a, b) = (root("a.test"), root("b.test"));
    let both = [("a.test", &a), ("b.test", &b)];
    for (name, ca) in [(A, &b), (B, &a)] {
        let (leaf, _) = sign(&leaf_params(name), ca);
        let cause = webpki::Error::UnknownIssuer;
        assert_eq!(verify(&leaf, &[], &both), Err(Untrusted::Chain { id: id(name), cause }));
    }
    let (leaf, _) = sign(&leaf_params(B), &b);
    assert_eq!(verify(&leaf, &[], &both).unwrap().id, id(B));
}

#[test]
fn a_root_of_the_same_name_with_another_key_is_another_root() {
    let (real, false_one) = (root("a.test"), root("a.test"));
    let (leaf, _) = sign(&leaf_params(A), &false_one);
    let refused = verify(&leaf, &[false_one.der().clone()], &[("a.test", &real)]);
    assert!(matches!(refused, Err(Untrusted::Chain { .. })), "{refused:?}");
}

/// The judgement on a leaf below an intermediate that says what `change` makes of a good one.
fn judge_below(change: impl FnOnce(&mut CertificateParams)) -> Result<Svid, Untrusted> {
    let top = root("a.test");
    let mut params = ca_params("a.test");
    params.distinguished_name.push(DnType::OrganizationName, "between");
    change(&mut params);
    let between = intermediate(params, &top);
    let (leaf, _) = sign(&leaf_params(A), &between);
    let stray = root("b.test");
    verify(&leaf, &[stray.der().clone(), between.der().clone()], &[("a.test", &top)])
}

#[test]
fn intermediates_lead_to_the_root() {
    assert!(judge_below(|_| {}).is_ok());
    assert!(judge_below(|params| params.subject_alt_names.clear()).is_ok(), "an issuer needs no ID");
    assert!(judge_below(|params| params.subject_alt_names = vec![uri("https://ca.example")]).is_ok());
}

#[test]
fn a_missing_intermediate_breaks_the_chain() {
    let top = root("a.test");
    let between = intermediate(ca_params("a.test"), &top);
    let (leaf, _) = sign(&leaf_params(A), &between);
    assert!(matches!(verify(&leaf, &[], &[("a.test", &top)]), Err(Untrusted::Chain { .. })));
}

#[test]
fn an_intermediate_may_sign_and_belongs_to_the_domain() {
    let broken = |change: fn(&mut CertificateParams)| match judge_below(change) {
        Err(Untrusted::Issuer { rule, .. }) => rule,
        other => panic!("not refused by a rule for issuers: {other:?}"),
    };
    let rule = broken(|params| {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign]
    });
    assert_eq!(rule, IssuerRule::NoCertSign);
    let rule = broken(|params| params.subject_alt_names = vec![uri("spiffe://b.test")]);
    assert_eq!(rule, IssuerRule::Foreign(domain("b.test")));
    let rule = broken(|params| params.subject_alt_names = vec![uri("spiffe://a.test/ca")]);
    assert_eq!(rule, IssuerRule::Path(id("spiffe://a.test/ca")));
}

#[test]
fn a_leaf_issues_nothing() {
    let top = root("a.test");
    let workload = intermediate(leaf_params("spiffe://a.test/evil"), &top);
    let (leaf, _) = sign(&leaf_params(A), &workload);
    let refused = verify(&leaf, &[workload.der().clone()], &[("a.test", &top)]);
    assert!(matches!(refused, Err(Untrusted::Chain { .. })), "{refused:?}");
}

#[test]
fn an_expired_intermediate_breaks_the_chain() {
    let refused = judge_below(|params| valid(params, -7200, -1)).unwrap_err();
    assert!(
        matches!(refused, Untrusted::Chain { cause: webpki::Error::CertExpired { .. }, .. }),
        "{refused:?}"
    );
}

#[test]
fn an_intermediate_for_one_end_only_does_not_serve_the_other() {
    let top = root("a.test");
    let mut params = ca_params("a.test");
    params.distinguished_name.push(DnType::OrganizationName, "between");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let between = intermediate(params, &top);
    let (leaf, key) = sign(&leaf_params(A), &between);
    let chain = vec![leaf, between.der().clone()];
    let known = bundles(&[("a.test", &top)]);
    assert!(Svid::verify(&chain[0], &chain[1..], &known, Usage::Client, NOW).is_ok());
    let refused = Svid::verify(&chain[0], &chain[1..], &known, Usage::Server, NOW);
    assert!(matches!(refused, Err(Untrusted::Chain { .. })), "{refused:?}");
    let own = Material::new(&domain("a.test"), chain, key, known, NOW);
    assert!(own.is_err(), "a sidecar both connects and accepts");
}

#[test]
fn dns_name_constraints_do_not_concern_ids() {
    let constrained = |subtree| {
        let mut params = ca_params("a.test");
        params.name_constraints =
            Some(NameConstraints { permitted_subtrees: vec![subtree], excluded_subtrees: Vec::new() });
        let ca = self_signed(params);
        let (leaf, _) = sign(&leaf_params(A), &ca);
        verify(&leaf, &[], &[("a.test", &ca)])
    };
    assert!(constrained(GeneralSubtree::DnsName("a.test".into())).is_ok());
}

#[test]
fn only_cas_of_the_domain_are_roots_of_it() {
    let bundle = |name: &str, params: CertificateParams| {
        let root = self_signed(params).der().clone();
        Bundle::new(&domain(name), vec![root]).map(|bundle| bundle.roots().len()).map_err(|error| error.rule)
    };
    assert_eq!(bundle("a.test", ca_params("a.test")), Ok(1));
    let foreign = IssuerRule::Foreign(domain("a.test"));
    assert_eq!(bundle("b.test", ca_params("a.test")), Err(foreign));
    assert_eq!(bundle("a.test", leaf_params(A)), Err(IssuerRule::NoAuthority));
    let mut mute = ca_params("a.test");
    mute.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    assert_eq!(bundle("a.test", mute), Err(IssuerRule::NoCertSign));
    let mut plain = ca_params("a.test");
    plain.subject_alt_names.clear();
    plain.key_usages.clear();
    assert_eq!(bundle("a.test", plain), Ok(1));
}

//! The controller's file: the least of it, all of it, and what is refused.

use super::*;

const LEAST: &str = "mesh: {name: east, trustDomain: east.example, namespace: dragoman-system}\n";

fn parse(text: &str) -> Result<ControllerConfig, String> {
    ControllerConfig::parse("controller.yaml", text.as_bytes(), |_| None).map_err(|error| error.to_string())
}

#[test]
fn the_least_has_every_role_and_the_usual_ports() {
    let config = parse(LEAST).unwrap();
    assert_eq!(config.roles, [Role::Directory, Role::Identity, Role::Injector]);
    let ports = [
        &config.issuer.listen,
        &config.injector.listen,
        &config.directory.listen,
        &config.directory.catalog,
        &config.directory.dns,
        &config.admin.listen,
    ];
    assert_eq!(ports.map(|listen| listen.addresses[0].port()), [2644, 2645, 2646, 2647, 2653, 2690]);
    assert_eq!(config.directory.zone, "a2a.cluster.local");
    assert_eq!(config.injector.certificate, WebhookCertificate::Secret("dragoman-injector-tls".to_owned()));
}

#[test]
fn everything_can_be_said() {
    let config = parse(
        r#"
mesh: {name: east, trustDomain: east.example, clusterDomain: east.local, namespace: mesh}
roles: [identity, directory, identity]
kubernetes: {config: /etc/kubeconfig}
issuer: {lifetime: 1h, settle: 0s, names: {directory.mesh: ["*.a2a.east.local", a2a.east.local]}}
injector: {dir: /tls, container: /c.yaml, sidecar: /s.yaml}
directory: {policy: {allow: [{from: ["spiffe://west.example/**"]}]}}
meshes:
  - {name: west, trustDomain: west.example, bundle: /west.pem, directory: "https://10.9.0.1:2646"}
"#,
    )
    .unwrap();
    assert_eq!(config.roles, [Role::Directory, Role::Identity]);
    assert_eq!(config.directory.zone, "a2a.east.local");
    assert_eq!(config.issuer.names["directory.mesh"], ["*.a2a.east.local", "a2a.east.local"]);
    let peer = config.meshes[0].directory.as_ref().unwrap();
    assert_eq!(peer.server, "spiffe://west.example/ns/dragoman-system/sa/*");
}

#[test]
fn the_directory_s_identity_is_issued_beside_it_if_nobody_says_otherwise() {
    let source = |text: &str| parse(&format!("{LEAST}{text}\n")).unwrap().identity.source;
    assert_eq!(source(""), None);
    assert_eq!(source("identity: {server: \"spiffe://east.example/**\"}"), None);
    assert_eq!(source("roles: [directory]"), Some(Source::default()));
    let said = Source::Files { dir: "/svid".into() };
    assert_eq!(source("identity: {files: {dir: /svid}}"), Some(said));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (text, wrong) in [
        ("roles: [gateway]", "roles[0]: \"gateway\" is none of directory, identity, injector"),
        (
            "issuer: {lifetime: 59m}",
            "issuer.lifetime: \"59m\" is too short for a certificate: 1h is the least",
        ),
        ("issuer: {names: {directory: [a]}}", "\"directory\" is no service account: write name.namespace"),
        ("injector: {dir: /a, secret: b}", "injector.dir stands beside injector.secret; keep one of them"),
        ("meshes: [{name: east, trustDomain: a}]", "meshes[0].name: \"east\" is this mesh itself"),
        (
            "meshes: [{name: west, trustDomain: a, directory: \"http://a\"}]",
            "is no https: a directory is asked over mutual TLS",
        ),
        ("outbound: {}", "outbound"),
    ] {
        let error = parse(&format!("{LEAST}{text}\n")).unwrap_err();
        assert!(error.contains(wrong), "{text}: {error}");
    }
}

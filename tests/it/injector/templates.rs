//! What the injector is told in its two files, and how it says what is wrong with them.

use dragoman::app::READER;
use dragoman::kube::inject::{InjectConfig, Templates};

const IMAGE: &str = "image: a\n";
const MESH: &str = "mesh: {name: east, trustDomain: east.example}\n";

fn parse(container: &str, sidecar: &str) -> Result<InjectConfig, String> {
    let templates = Templates {
        container: ("container.yaml", container),
        sidecar: ("sidecar.yaml", sidecar),
        audience: "dragoman-identity",
        reader: READER,
    };
    InjectConfig::parse(&templates).map_err(|error| error.to_string())
}

#[test]
fn what_is_wrong_with_the_container_is_said_with_its_place() {
    for (container, wrong) in [
        ("", "container.yaml: is no map; write at least the image of the container"),
        ("imagePullPolicy: Always", "container.yaml: image: is missing; name the image of the sidecar"),
        ("image: a\nname: b", "container.yaml: name: is the injector's to say; leave it out"),
        ("image: a\nresource: {}", "container.yaml: resource: Kubernetes knows no such field here"),
        (
            "image: a\nresources: {limit: {cpu: 1}}",
            "container.yaml: resources.limit: Kubernetes knows no such field here",
        ),
        (
            "image: a\nenv: [{name: A, valu: b}]",
            "container.yaml: env[0].valu: Kubernetes knows no such field here",
        ),
        (
            "image: a\nvolumes: [{name: b, hostpath: {}}]",
            "container.yaml: volumes[0].hostpath: Kubernetes knows no such field here",
        ),
    ] {
        assert_eq!(parse(container, MESH).map(drop), Err(wrong.to_owned()), "{container}");
    }
    let wrong = parse("image: a\nenv: [{name: A, value: 1}]", MESH).unwrap_err();
    assert!(wrong.starts_with("container.yaml: invalid type: integer `1`"), "{wrong}");
    let wrong = parse("image: a\nresources: [", MESH).unwrap_err();
    assert!(wrong.starts_with("container.yaml: ") && wrong.contains("line 2"), "{wrong}");
}

#[test]
fn what_is_wrong_with_the_configuration_is_said_with_its_place() {
    let issuer = "identity: {issuer: {url: \"https://a:1\", tokenFile: /token}}";
    for (rest, wrong) in [
        ("lmits: {}", "sidecar.yaml:2:1: unknown key \"lmits\" at the top level; did you mean \"limits\"?"),
        ("agents: []", "sidecar.yaml: agents: is the injector's to say; leave it out"),
        ("admin: {listen: \"[::]:1\"}", "sidecar.yaml: admin: is the injector's to say; leave it out"),
        (
            issuer,
            "sidecar.yaml: identity.issuer.tokenFile: should be /var/run/dragoman/token, where the token is mounted",
        ),
        ("log: {level: \"${LEVEL}\"}", "sidecar.yaml:2:14: log.level: the variable LEVEL is not set"),
    ] {
        assert_eq!(parse(IMAGE, &format!("{MESH}{rest}")).map(drop), Err(wrong.to_owned()), "{rest}");
    }
}

#[test]
fn a_variable_of_the_container_may_be_referred_to() {
    let container = "image: a\nenv:\n- {name: LEVEL, value: debug}\n- {name: NODE, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}\n";
    let sidecar =
        format!("{MESH}log: {{level: \"${{LEVEL}}\"}}\ndiscovery: {{nameservers: [\"${{NODE}}:53\"]}}\n");
    assert!(parse(container, &sidecar).is_ok());
}

#[test]
fn roots_are_wanted_by_who_asks_an_issuer_and_has_none() {
    let issuer = "identity: {issuer: {url: \"https://a:1\", tokenFile: /var/run/dragoman/token}}";
    let config = parse(IMAGE, &format!("{MESH}{issuer}")).unwrap();
    assert!(config.wants_roots());
    assert!(!config.with_roots("x").wants_roots());
    assert!(!parse(IMAGE, MESH).unwrap().wants_roots());
}

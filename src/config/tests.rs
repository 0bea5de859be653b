//! Whole files: what the design's example means, what each kind of mistake is answered with, and that nothing panics.

use super::*;
use crate::a2a::NamePattern;

mod broken;
mod schema;

/// The example of the design, to the letter.
const EXAMPLE: &str = r#"mesh:      {name: east, trustDomain: east.example, clusterDomain: cluster.local, namespace: travel}
agents:    [{name: currency, url: "http://127.0.0.1:9000", binding: auto, dialect: auto}]  # none in a pod that only calls
identity:
  files: {dir: /run/secrets/workload-spiffe-credentials}     # or issuer: {url, tokenFile}, or workloadApi: {socket}
  server: "spiffe://{trustDomain}/ns/{namespace}/sa/*"
  servers: {currency.travel: "spiffe://east.example/ns/travel/sa/currency"}
outbound:  {listen: ["127.0.0.1:2602", "[::1]:2602"], ports: {}, allow: ["*"], forward: [], allowedOrigins: []}
inbound:   {listen: ["[::]:2643"]}
admin:     {listen: ["[::]:2690"]}
discovery: {nameservers: ["10.96.0.10:53"], port: 2643, static: {currency.travel: ["127.0.0.1:2643"]}}
policy:    {allow: [{from: ["spiffe://east.example/ns/travel/**"], agents: ["*"], operations: ["*"]}]}   # default: own trust domain
meshes:    [{name: west, trustDomain: west.example, clusterDomain: west.local, nameservers: ["10.97.0.10:53"]}]
limits:    {message: 16MiB, buffered: 64MiB, streamWindow: 256KiB, connect: 2s, unary: none, streamIdle: none, drain: 25s}
cards:     {keys: [], maxAge: 60s}
log:       {format: json, level: info}
"#;

const MINIMAL: &str = "mesh: {name: east, trustDomain: east.example}\n";

fn env(name: &str) -> Option<String> {
    let value = match name {
        "PORT" => "2700",
        "NS" => "travel",
        "ADDRESS" => "127.0.0.1:0",
        "INJECTION" => "a}\nlog: {level: trace",
        _ => return None,
    };
    Some(value.to_owned())
}

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    Config::parse("dragoman.yaml", text.as_bytes(), env)
}

fn with(rest: &str) -> Config {
    parse(&format!("{MINIMAL}{rest}")).unwrap()
}

fn wrong(text: &str) -> Vec<String> {
    parse(text).unwrap_err().to_string().lines().map(str::to_owned).collect()
}

#[test]
fn the_example_of_the_design_is_understood() {
    let config = parse(EXAMPLE).unwrap();
    assert_eq!(config.mesh.home(), Home { namespace: "travel".into(), mesh: "east".into() });
    let [agent] = &config.agents[..] else { panic!("one agent") };
    assert_eq!((agent.name.as_str(), agent.url.port_u16()), ("currency.travel.east", Some(9000)));
    assert_eq!((agent.binding, agent.dialect), (Binding::Auto, Dialect::Auto));
    let id = config.identity.servers.iter().next().unwrap();
    assert_eq!(
        (id.0.as_str(), id.1.as_str()),
        ("currency.travel.east", "spiffe://east.example/ns/travel/sa/currency")
    );
    assert_eq!(
        config.outbound.listen.addresses,
        ["127.0.0.1:2602".parse().unwrap(), "[::1]:2602".parse().unwrap()]
    );
    assert!(!config.outbound.listen.by_default);
    assert_eq!(config.discovery.nameservers, Some(vec!["10.96.0.10:53".parse().unwrap()]));
    let rules = config.policy.allow.unwrap();
    assert_eq!((&rules[0].agents[..], &rules[0].operations), (&[NamePattern::Every][..], &Operations::Every));
    assert_eq!(config.meshes[0].cluster_domain, "west.local");
    assert_eq!(config.meshes[0].server, "spiffe://west.example/ns/dragoman-system/sa/*");
    assert_eq!(config.limits.message, 16 * 1024 * 1024);
    assert_eq!((config.limits.unary, config.limits.drain.as_secs()), (None, 25));
}

#[test]
fn everything_but_the_mesh_has_the_defaults_of_the_design() {
    let config = parse(MINIMAL).unwrap();
    let mut example = parse(EXAMPLE).unwrap().redacted();
    // Where the example does more than spell out a default.
    example["mesh"]["namespace"] = "default".into();
    example["agents"] = Value::Array(vec![]);
    example["meshes"] = Value::Array(vec![]);
    example["identity"]["servers"] = serde_json::json!({});
    example["discovery"] = serde_json::json!({ "port": 2643, "static": {} });
    example["policy"] = serde_json::json!({});
    assert_eq!(config.redacted(), example);
    assert!(
        config.outbound.listen.by_default
            && config.inbound.listen.by_default
            && config.admin.listen.by_default
    );
    assert_eq!(config.policy.allow, None);
}

#[test]
fn the_admin_page_shows_a_file_that_means_the_same() {
    for text in [EXAMPLE, MINIMAL, DIFFERENT] {
        let shown = parse(text).unwrap().redacted();
        let again = parse(&shown.to_string()).unwrap();
        assert_eq!(again.redacted(), shown);
    }
}

/// No value as it is by default.
const DIFFERENT: &str = r#"
mesh: {name: east, trustDomain: east.example, clusterDomain: Other.Local., namespace: "${NS}"}
agents:
- {name: currency, url: "http://localhost/base/", binding: http+json, dialect: 0.3}
- {name: hotel, url: "http://[::1]:9001", binding: grpc, dialect: "1.0"}
identity:
  issuer: {url: "https://issuer.dragoman.svc:8443", tokenFile: /var/run/token, state: /var/lib, server: "spiffe://a/*"}
  server: "spiffe://east.example/**"
  servers: {hotel.bank.west: "spiffe://west.example/hotel"}
outbound:
  listen: ${ADDRESS}
  ports: {currency: 0, hotel: 0, currency.bank: "${PORT}"}
  allow: ["*.*.west", currency, "*.bank"]
  forward: [api.example, "other.example:443"]
  allowedOrigins: ["http://localhost:3000"]
inbound: {listen: "127.0.0.1:0"}
admin: {listen: ["127.0.0.1:0", "[::1]:0"]}
discovery:
  nameservers: [10.0.0.1]
  port: 2644
  static: {hotel.bank.west: ["10.0.0.2:1", "[fd00::1]:2"]}
  directory: {url: "https://directory:2646", server: "spiffe://{trustDomain}/d", nameservers: [10.0.0.3], zone: a2a.x}
policy:
  allow:
  - from: ["spiffe://east.example/ns/travel/sa/*"]
    agents: [currency]
    operations: [SendMessage, GetAgentCard]
  - from: ["spiffe://west.example/**"]
meshes: [{name: west, trustDomain: west.example, directory: "https://10.0.0.4", server: "spiffe://west.example/ns/mesh/sa/*"}]
limits: {message: 1KiB, buffered: 1536KiB, streamWindow: 2MiB, connect: 250ms, unary: 90s, streamIdle: 2h, drain: 0s, threads: 4}
cards: {keys: [/etc/keys/a.jwk], maxAge: 0s}
log: {format: TEXT, level: Warn}
"#;

#[test]
fn every_value_can_be_another() {
    let config = parse(DIFFERENT).unwrap();
    assert_eq!(config.agents[0].binding, Binding::HttpJson);
    assert_eq!((config.agents[0].dialect, config.agents[1].dialect), (Dialect::V0_3, Dialect::V1_0));
    assert_eq!(config.agents[0].url.path(), "/base/");
    assert!(
        matches!(&config.identity.source, Source::Issuer { token_file, .. } if token_file.ends_with("token"))
    );
    assert_eq!(config.outbound.ports.values().copied().collect::<Vec<_>>(), [2700, 0, 0]);
    let rule = &config.policy.allow.unwrap()[0];
    assert!(rule.operations.contains(crate::a2a::Operation::SendMessage));
    assert!(!rule.operations.contains(crate::a2a::Operation::GetTask));
    assert_eq!((config.log.format, config.log.level), (LogFormat::Text, LogLevel::Warn));
    assert_eq!(config.meshes[0].server, "spiffe://west.example/ns/mesh/sa/*");
    assert_eq!(config.limits.threads, 4);
    let socket = with("identity: {workloadApi: {socket: \"unix:///run/spire.sock\"}}");
    assert_eq!(socket.identity.source, Source::WorkloadApi { socket: "/run/spire.sock".into() });
}

#[test]
fn a_variable_works_in_every_kind_of_value_and_never_becomes_yaml() {
    let config = with("discovery: {port: \"${PORT}\"}\ninbound: {listen: \"127.0.0.1:${PORT}\"}");
    assert_eq!((config.discovery.port, config.inbound.listen.addresses[0].port()), (2700, 2700));
    let config = with("discovery:\n  port: ${PORT}\n");
    assert_eq!(config.discovery.port, 2700);
    let config = with("cards: {keys: [\"${INJECTION}\", \"$${NS}\"]}");
    assert_eq!(config.cards.keys, [Path::new("a}\nlog: {level: trace"), Path::new("${NS}")]);
    assert_eq!(config.log.level, LogLevel::Info);
}

#[test]
fn a_section_whose_keys_are_commented_out_has_its_defaults() {
    let config = with("outbound:\n  # listen: 127.0.0.1:1\nlog: ~\n");
    assert_eq!(config, parse(MINIMAL).unwrap());
}

#[test]
fn one_listener_may_have_both_families_of_a_port() {
    let config = with(
        "admin: {listen: ['0.0.0.0:1', '[::]:1']}\ninbound: {listen: ['0.0.0.0:0', '[::]:0', '[::]:0']}",
    );
    assert_eq!((config.admin.listen.addresses.len(), config.inbound.listen.addresses.len()), (2, 3));
}

#[test]
fn durations_and_sizes_are_shown_as_they_are_written() {
    let limits =
        &with("limits: {message: 1536KiB, connect: 250ms, unary: 2h, drain: 0s}").redacted()["limits"];
    let shown =
        ["message", "buffered", "connect", "unary", "streamIdle", "drain"].map(|key| limits[key].as_str());
    assert_eq!(shown.map(Option::unwrap), ["1536KiB", "64MiB", "250ms", "7200s", "none", "0s"]);
}

#[test]
fn an_empty_policy_lets_nobody_in_and_none_is_something_else() {
    assert_eq!(with("policy: {allow: []}").policy.allow, Some(vec![]));
    assert_eq!(with("policy: {}").policy.allow, None);
}

#[test]
fn json_is_a_config_too_and_a_byte_order_mark_does_no_harm() {
    let json = r#"{"mesh": {"name": "east", "trustDomain": "east.example"}, "discovery": {"port": 1}}"#;
    assert_eq!(parse(json).unwrap().discovery.port, 1);
    assert!(parse(&format!("\u{feff}{MINIMAL}")).is_ok());
    assert!(parse(&MINIMAL.replace('\n', "\r\n")).is_ok());
}

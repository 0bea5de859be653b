//! Every kind of mistake, with the exact words that it is answered with.

use std::fs;

use proptest::prelude::*;

use super::*;

/// What stands behind the two lines of a mesh, and the first problem of it.
const BEHIND_A_MESH: &[(&str, &str)] = &[
    // Unknown keys, at each level.
    ("meshs: []", r#"2:1: unknown key "meshs" at the top level; did you mean "mesh"?"#),
    ("outbound:\n  lisen: 1", r#"3:3: unknown key "lisen" in outbound; did you mean "listen"?"#),
    ("cards: {max_age: 1s}", r#"2:9: unknown key "max_age" in cards; did you mean "maxAge"?"#),
    ("identity: {files: {path: x}}", r#"2:20: unknown key "path" in identity.files; the keys here are dir"#),
    ("agents: [{title: x}]", "2:10: agents[0].name is missing"),
    ("policy: {allow: [{form: []}]}", "2:18: policy.allow[0].from is missing"),
    ("log: {lvl: info}", r#"2:7: unknown key "lvl" in log; did you mean "level"?"#),
    // Wrong types.
    ("agents: {}", r#"2:1: agents: is a map; it should be a list: [a, b], or one line with "- " for each"#),
    ("log: [json]", "2:1: log: is a list; it should be a map with the keys format, level"),
    ("log: json", r#"2:6: log: is "json"; it should be a map with the keys format, level"#),
    ("log: {level: [info]}", "2:7: log.level: is a list; it should be a single value"),
    ("log:\n  level:", "3:3: log.level: has no value; give it one or leave the key out"),
    ("outbound: {allow: ['*', {a: b}]}", "2:25: outbound.allow[1]: is a map; it should be a single value"),
    (
        "outbound: {allow: ['*', ~]}",
        "2:25: outbound.allow[1]: has no value; give it one or leave the key out",
    ),
    ("outbound: {listen: {}}", "2:12: outbound.listen: is a map; it should be one value or a list of them"),
    (
        "outbound: {ports: [1]}",
        r#"2:12: outbound.ports: is a list; it should be a map: {key: value}, or one line with "key: value" for each"#,
    ),
    (
        "agents: [name]",
        r#"2:10: agents[0]: is "name"; it should be a map with the keys name, url, card, binding, dialect"#,
    ),
    (
        "policy: {allow: [{from: all}]}",
        r#"2:25: policy.allow[0].from: is "all"; it should be a list: [a, b], or one line with "- " for each"#,
    ),
    // Words.
    ("limits: {drain: 5}", r#"2:17: limits.drain: "5" is no duration: write ms, s, m or h, such as 25s"#),
    (
        "limits: {connect: none}",
        r#"2:19: limits.connect: "none" is no duration: write ms, s, m or h, such as 25s"#,
    ),
    (
        "limits: {unary: 0s}",
        r#"2:17: limits.unary: "0s" is no time at all: write a duration above 0, such as 2s, or none"#,
    ),
    (
        "limits: {message: 16MB}",
        r#"2:19: limits.message: "16MB" is no size: write KiB or MiB, such as 16MiB"#,
    ),
    (
        "limits: {message: 1GiB}",
        r#"2:19: limits.message: "1GiB" is no size: write KiB or MiB, such as 16MiB"#,
    ),
    (
        "limits: {message: 128MiB}",
        "2:19: limits.message: limits.message does not fit into limits.buffered; make that one larger",
    ),
    (
        "limits: {buffered: 1MiB}",
        "2:20: limits.buffered: limits.message does not fit into limits.buffered; make that one larger",
    ),
    ("log: {level: loud}", r#"2:14: log.level: "loud" is none of error, warn, info, debug, trace"#),
    ("log: {format: xml}", r#"2:15: log.format: "xml" is none of json, text"#),
    ("discovery: {port: 0}", r#"2:19: discovery.port: "0" is no port: write a number from 1 to 65535"#),
    (
        "discovery: {nameservers: []}",
        "2:13: discovery.nameservers: an empty list; leave the key out for those of /etc/resolv.conf",
    ),
    (
        "discovery: {nameservers: [dns]}",
        r#"2:27: discovery.nameservers[0]: "dns" is no DNS server: write IP:PORT, such as 10.96.0.10:53"#,
    ),
    (
        "discovery: {static: {a: [host:1]}}",
        r#"2:26: discovery.static.a[0]: "host:1" is no address to dial: write IP:PORT, such as 10.0.0.7:2643 or [fd00::7]:2643"#,
    ),
    ("discovery: {static: {a: []}}", "2:22: discovery.static.a: an empty list; name at least one"),
    (
        "discovery: {static: {a_b: ['10.0.0.1:1']}}",
        r#"2:22: discovery.static.a_b: "a_b" is no agent name: "a_b" is no DNS label (write a-z, 0-9 and '-' inside, 63 at most)"#,
    ),
    (
        "discovery: {static: {a.b.c.d: ['10.0.0.1:1']}}",
        r#"2:22: discovery.static.a.b.c.d: "a.b.c.d" is no agent name: write agent, agent.namespace or agent.namespace.mesh"#,
    ),
    (
        "discovery: {static: {a.b.west: ['10.0.0.1:1']}}",
        r#"2:22: discovery.static.a.b.west: "a.b.west" is of an unknown mesh: "west" is neither mesh.name nor one of meshes"#,
    ),
    (
        "discovery: {static: {a: ['10.0.0.1:1'], A.default: ['10.0.0.1:1']}}",
        "2:41: discovery.static.A.default: this agent is there already",
    ),
    // Listeners.
    (
        "inbound: {listen: localhost:1}",
        r#"2:19: inbound.listen: "localhost:1" is no address: write IP:PORT, such as 127.0.0.1:2602 or [::1]:2602"#,
    ),
    ("admin: {listen: []}", "2:9: admin.listen: an empty list; leave the key out for its default"),
    ("admin: {listen: ['[::1]:1', '[::1]:1']}", "2:29: admin.listen[1]: [::1]:1 is taken by admin.listen[0]"),
    ("admin: {listen: '127.0.0.1:2643'}", "2:17: admin.listen: 127.0.0.1:2643 is taken by inbound.listen"),
    (
        "admin: {listen: '127.0.0.1:1'}\ninbound: {listen: '0.0.0.0:1'}",
        "3:19: inbound.listen: 0.0.0.0:1 is taken by admin.listen",
    ),
    ("outbound: {ports: {a: 2602}}", "2:23: outbound.ports.a: 127.0.0.1:2602 is taken by outbound.listen"),
    ("outbound: {ports: {a: 1, b: 1}}", "2:29: outbound.ports.b: 127.0.0.1:1 is taken by outbound.ports.a"),
    (
        "outbound: {ports: {a: 65536}}",
        r#"2:23: outbound.ports.a: "65536" is no port: write a number from 0 to 65535"#,
    ),
    // Outbound.
    (
        "outbound: {allow: ['cur*']}",
        r#"2:20: outbound.allow[0]: "cur*" is no agent name or pattern: "cur*" is neither * nor a DNS label (a-z, 0-9 and '-' inside, 63 at most)"#,
    ),
    (
        "outbound: {forward: ['http://a']}",
        r#"2:22: outbound.forward[0]: "http://a" is no host: write host or host:port, such as api.example:443"#,
    ),
    (
        "outbound: {allowedOrigins: ['*']}",
        r#"2:29: outbound.allowedOrigins[0]: "*" is no origin: write SCHEME://HOST[:PORT] without a path, such as http://localhost:3000"#,
    ),
    // Agents.
    (
        "agents: [{name: A, url: 'http://h'}]",
        r#"2:17: agents[0].name: "A" is no DNS label: write a-z, 0-9 and '-' inside, 63 at most"#,
    ),
    (
        "agents: [{name: a.b, url: 'http://h'}]",
        r#"2:17: agents[0].name: "a.b" is no DNS label: write a-z, 0-9 and '-' inside, 63 at most"#,
    ),
    ("agents: [{name: a}]", "2:10: agents[0].url is missing"),
    (
        "agents: [{name: a, url: 'http://127.0.0.1:1', binding: GRPC, dialect: '0.3'}]",
        "2:10: agents[0].dialect: gRPC is spoken in 1.0 alone; for 0.3 choose JSONRPC or HTTP+JSON",
    ),
    (
        "agents: [{name: a, url: 'http://u:pw@h'}]",
        r#"2:25: agents[0].url: "http://…@h" carries a user name or password: leave it out"#,
    ),
    (
        "agents: [{name: a, url: 'https://h'}]",
        r#"2:25: agents[0].url: "https://h" is not plain HTTP: an agent stands beside its sidecar, such as http://127.0.0.1:9000"#,
    ),
    (
        "agents: [{name: a, url: 'http://h', binding: soap}]",
        r#"2:46: agents[0].binding: "soap" is none of auto, JSONRPC, HTTP+JSON, GRPC"#,
    ),
    (
        "agents: [{name: a, url: 'http://h', dialect: 2}]",
        r#"2:46: agents[0].dialect: "2" is none of auto, 0.3, 1.0"#,
    ),
    (
        "agents:\n- {name: a, url: 'http://h'}\n- {name: a, url: 'http://i'}",
        r#"4:3: agents[1].name: "a" is there already"#,
    ),
    // Identity.
    (
        "identity:\n  files: {}\n  issuer:\n    url: x",
        "4:3: identity.issuer stands beside identity.files; keep one of files, issuer and workloadApi",
    ),
    (
        "identity: {workloadApi: {socket: /s}, files: {}}",
        "2:39: identity.files stands beside identity.workloadApi; keep one of files, issuer and workloadApi",
    ),
    ("identity: {issuer: {url: 'https://i'}}", "2:12: identity.issuer.tokenFile is missing"),
    (
        "identity: {issuer: {url: 'http://i', tokenFile: t}}",
        r#"2:26: identity.issuer.url: "http://i" would show the token to the network: write https, or http with a loopback address"#,
    ),
    (
        "identity: {workloadApi: {socket: 'tcp://a:1'}}",
        r#"2:34: identity.workloadApi.socket: "tcp://a:1" is no Unix socket: write its absolute path, such as /run/spire/agent.sock"#,
    ),
    ("identity: {files: {dir: ''}}", r#"2:25: identity.files.dir: "" is no path"#),
    (
        "identity: {server: east.example}",
        r#"2:20: identity.server: "east.example" is no SPIFFE ID: write spiffe://TRUST-DOMAIN/PATH"#,
    ),
    (
        "identity: {servers: {a: b}}",
        r#"2:25: identity.servers.a: "b" is no SPIFFE ID: write spiffe://TRUST-DOMAIN/PATH"#,
    ),
    // Policy and meshes.
    ("policy: {allow: [{from: []}]}", "2:19: policy.allow[0].from: an empty list; name at least one"),
    (
        "policy: {allow: [{from: ['spiffe://a/b'], operations: [sendMessage]}]}",
        r#"2:56: policy.allow[0].operations[0]: "sendMessage" is no operation: write * or a name of A2A's, such as SendMessage"#,
    ),
    ("meshes: [{name: east, trustDomain: e}]", r#"2:10: meshes[0].name: "east" is this mesh itself"#),
    (
        "meshes:\n- {name: w, trustDomain: e}\n- {name: w, trustDomain: f}",
        r#"4:3: meshes[1].name: "w" is there already"#,
    ),
    (
        "meshes: [{name: w, trustDomain: 'spiffe://w'}]",
        r#"2:33: meshes[0].trustDomain: "spiffe://w" is no trust domain: leave out spiffe:// and the path, such as east.example"#,
    ),
    (
        "meshes: [{name: w, trustDomain: e, clusterDomain: 'a b'}]",
        r#"2:51: meshes[0].clusterDomain: "a b" is no DNS domain: write labels with dots between, such as cluster.local"#,
    ),
    // Variables.
    ("discovery: {port: '${NOPE}'}", "2:19: discovery.port: the variable NOPE is not set"),
    (
        "discovery: {port: '${NS}'}",
        r#"2:19: discovery.port: "travel" is no port: write a number from 1 to 65535"#,
    ),
    (
        "cards: {keys: ['$HOME/k']}",
        "2:16: cards.keys[0]: a lone $; write ${NAME} for a variable, $$ for a dollar sign",
    ),
    (
        "discovery: {port: ${PORT}}",
        "2:20: not YAML: while parsing a flow mapping, did not find expected ',' or '}'; inside { } and [ ] a value with ${...} needs quotes",
    ),
    // YAML.
    ("mesh: {}", "2:1: mesh is already written at line 1; keep one of the two"),
    ("log: {level: info, level: warn}", "2:20: log.level is already written at line 2; keep one of the two"),
    (
        "discovery: {static: {a: ['10.0.0.1:1'], a: []}}",
        "2:41: discovery.static.a is already written at line 2; keep one of the two",
    ),
    ("? [log]\n: {}", "2:3: a key should be a word"),
    ("<<: *base", "2:5: not YAML: while parsing node, found unknown anchor"),
    (
        "log:\n\tlevel: info",
        "3:2: not YAML: tabs disallowed within this context (block indentation); indent with spaces, not with tabs",
    ),
    ("log: {level: info", "2:6: not YAML: unclosed bracket '{'"),
    ("---\nlog: {}", "3:1: a second YAML document begins here; a config file holds one"),
];

/// Whole files, and the first problem of each.
const WHOLE: &[(&str, &str)] = &[
    ("", "1:1: the file is empty; the least a config says is mesh: {name: east, trustDomain: east.example}"),
    (
        "# soon\n",
        "1:1: the file is empty; the least a config says is mesh: {name: east, trustDomain: east.example}",
    ),
    (
        "log: {}",
        "1:1: mesh is missing; the least a config says is mesh: {name: east, trustDomain: east.example}",
    ),
    ("mesh:", "1:1: mesh.name is missing"),
    ("mesh: {name: east}", "1:1: mesh.trustDomain is missing"),
    (
        "mesh: {name: east, trustDomain: East}",
        r#"1:33: mesh.trustDomain: "East" is no trust domain: write a-z, 0-9, '.', '-' and '_', such as east.example"#,
    ),
    (
        "mesh: {name: e.e, trustDomain: e}",
        r#"1:14: mesh.name: "e.e" is no DNS label: write a-z, 0-9 and '-' inside, 63 at most"#,
    ),
    (
        "mesh: {name: e, trustDomain: e, namespace: '${POD_NAMESPACE}'}",
        "1:44: mesh.namespace: the variable POD_NAMESPACE is not set",
    ),
    (
        "PNG and so on",
        r#"1:1: the file is "PNG and so on"; it should be a map with the keys mesh, agents, identity, outbound, inbound, admin, discovery, policy, meshes, limits, cards, log"#,
    ),
    (
        "[mesh]",
        "1:1: the file is a list; it should be a map with the keys mesh, agents, identity, outbound, inbound, admin, discovery, policy, meshes, limits, cards, log",
    ),
    ("mesh: name: east", "1:11: not YAML: mapping values are not allowed in this context"),
    ("\u{0}", r"1:1: not YAML: unexpected character: `\u{0}'"),
];

#[test]
fn each_mistake_is_answered_with_its_place_and_with_what_would_be_right() {
    let behind = BEHIND_A_MESH.iter().map(|(rest, line)| (format!("{MINIMAL}{rest}"), line));
    let whole = WHOLE.iter().map(|(text, line)| ((*text).to_owned(), line));
    let mut surprises = Vec::new();
    for (text, line) in behind.chain(whole) {
        let lines = parse(&text).map_or_else(|errors| errors.to_string(), |_| "nothing is wrong".to_owned());
        let first = lines.lines().next().unwrap_or_default().to_owned();
        if first != format!("dragoman.yaml:{line}") {
            surprises.push(first);
        }
    }
    assert!(surprises.is_empty(), "{surprises:#?}");
}

#[test]
fn all_mistakes_are_found_at_once_and_in_the_order_of_the_file() {
    let text = r#"
mesh: {name: East, trustDomain: east.example, nmae: x}
agents:
- {name: currency, url: "http://127.0.0.1:9000"}
- {name: hotel}
- {name: currency, url: "http://127.0.0.1:9001", binding: "${NOPE}-${NIX}"}
- {name: currency, url: "http://127.0.0.1:9001"}
identity: {server: 5}
outbound:
  listen: [127.0.0.1, "127.0.0.1:1"]
  ports: {a: x, b.c.north: 1, c: 2, C: 3}
limits:
  message: 16
  drain: soon
log: text
"#;
    assert_eq!(
        wrong(text),
        [
            r#"dragoman.yaml:2:14: mesh.name: "East" is no DNS label: write a-z, 0-9 and '-' inside, 63 at most"#,
            r#"dragoman.yaml:2:47: unknown key "nmae" in mesh; did you mean "name"?"#,
            "dragoman.yaml:5:3: agents[1].url is missing",
            "dragoman.yaml:6:59: agents[2].binding: the variable NOPE is not set",
            "dragoman.yaml:6:59: agents[2].binding: the variable NIX is not set",
            r#"dragoman.yaml:7:3: agents[3].name: "currency" is there already"#,
            r#"dragoman.yaml:8:20: identity.server: "5" is no SPIFFE ID: write spiffe://TRUST-DOMAIN/PATH"#,
            r#"dragoman.yaml:10:12: outbound.listen[0]: "127.0.0.1" is no address: write IP:PORT, such as 127.0.0.1:2602 or [::1]:2602"#,
            r#"dragoman.yaml:11:14: outbound.ports.a: "x" is no port: write a number from 0 to 65535"#,
            "dragoman.yaml:11:37: outbound.ports.C: this agent is there already",
            r#"dragoman.yaml:13:12: limits.message: "16" is no size: write KiB or MiB, such as 16MiB"#,
            r#"dragoman.yaml:14:10: limits.drain: "soon" is no duration: write ms, s, m or h, such as 25s"#,
            r#"dragoman.yaml:15:6: log: is "text"; it should be a map with the keys format, level"#,
        ]
    );
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let first = |name: &str| {
        let path = dir.path().join(name);
        let errors = Config::load(&path, env).unwrap_err().to_string();
        errors.replace(&dir.path().display().to_string(), "DIR")
    };
    fs::write(dir.path().join("latin"), b"mesh:\n  name: \"\xc3\xbc\xfc\"\n").unwrap();
    fs::write(dir.path().join("utf16"), b"\xff\xfem\0e\0s\0h\0").unwrap();
    fs::write(dir.path().join("cut"), b"mesh: \xe2\x82").unwrap();
    fs::write(dir.path().join("large"), vec![b' '; 1024 * 1024 + 1]).unwrap();
    for (name, line) in [
        ("none", "DIR/none: there is no such file"),
        ("", "DIR/: is a directory; name the file in it"),
        ("latin", "DIR/latin:2:11: this byte is not UTF-8; save the file as UTF-8"),
        ("utf16", "DIR/utf16:1:1: this byte is not UTF-8; save the file as UTF-8"),
        ("cut", "DIR/cut:1:7: this byte is not UTF-8; save the file as UTF-8"),
        ("large", "DIR/large: is larger than 1 MiB, which no config is"),
    ] {
        assert_eq!(first(name), line);
    }
}

#[test]
fn the_check_command_says_ok_or_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.yaml");
    fs::write(&path, EXAMPLE).unwrap();
    assert_eq!(check(&path, env), Ok(format!("{}: ok", path.display())));
    fs::write(&path, "mesh: {}").unwrap();
    let errors = check(&path, env).unwrap_err().to_string();
    assert_eq!(errors.lines().count(), 2);
    assert!(errors.starts_with(&format!("{}:1:1: ", path.display())), "{errors}");
}

/// What must hold for any bytes at all.
fn holds(bytes: &[u8]) {
    match Config::parse("f", bytes, env) {
        Ok(config) => {
            let shown = config.redacted();
            assert_eq!(
                Config::parse("f", shown.to_string().replace('$', "$$").as_bytes(), env).unwrap().redacted(),
                shown
            );
        }
        Err(ConfigErrors::Wrong { problems, .. }) => {
            assert!(!problems.is_empty());
            let lines = bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() + 1;
            assert!(problems.iter().all(|problem| problem.at.line <= lines && problem.at >= Mark::START));
            assert!(problems.is_sorted_by_key(|problem| problem.at));
        }
        Err(unreadable) => panic!("{unreadable}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        holds(&bytes);
    }

    #[test]
    fn random_yaml_is_answered(text in "[-a-c:{}\\[\\],\"'#&*!|>%@$~? \n\t]{0,80}") {
        holds(text.as_bytes());
    }

    #[test]
    fn a_file_with_slips_is_answered(
        different in any::<bool>(),
        slips in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..12, "[-a-z0-9:{}\\[\\],\"'$*~. \n\t]{0,6}"), 1..4),
    ) {
        let mut text = if different { DIFFERENT } else { EXAMPLE }.as_bytes().to_vec();
        for (at, cut, put) in slips {
            let at = at.index(text.len());
            text.splice(at..(at + cut).min(text.len()), put.into_bytes());
        }
        holds(&text);
    }
}

//! The commands, as somebody types them: what they print, and how they end.

use std::path::Path;

use serde_json::json;

use crate::harness::agent::{message, status_update};
use crate::harness::json::{canonical, value};
use crate::harness::mesh::Pair;
use crate::harness::process::{dragoman, run};

/// A command that talks to the planner's sidecar.
fn client(pair: &Pair, arguments: &[&str]) -> tokio::process::Command {
    let mut command = dragoman(arguments);
    command.env("DRAGOMAN_SIDECAR", format!("http://{}", pair.planner.outbound));
    command
}

#[tokio::test]
async fn send_prints_what_the_agent_says() {
    let mut pair = Pair::start().await;
    let mut command = client(&pair, &["send", "currency", "1 EUR in USD?"]);
    let (output, ()) = tokio::join!(run(&mut command), async {
        let request = pair.agent.request().await;
        assert_eq!(request.json()["params"]["message"]["parts"][0]["text"], "1 EUR in USD?");
        assert_eq!(request.json()["params"]["message"]["role"], "ROLE_USER");
        request.result(&message("1.08")).await;
    });
    assert_eq!(output, (0, "1.08\n".to_owned(), String::new()));
}

#[tokio::test]
async fn send_as_json_prints_the_result_and_each_event_on_a_line() {
    let mut pair = Pair::start().await;
    let mut command = client(&pair, &["send", "currency", "x", "--json"]);
    let ((code, out, _), ()) = tokio::join!(run(&mut command), async {
        pair.agent.request().await.result(&message("one")).await;
    });
    assert_eq!((code, canonical(&out)), (0, canonical(&message("one"))));
    assert_eq!(out.lines().count(), 1);

    let sidecar = format!("http://{}/", pair.planner.outbound);
    let mut command = dragoman(&["send", "currency", "x", "--json", "--stream", "--sidecar", &sidecar]);
    let ((code, out, _), ()) = tokio::join!(run(&mut command), async {
        let request = pair.agent.request().await;
        assert_eq!(request.method(), "SendStreamingMessage");
        let mut stream = request.stream().await;
        for text in ["a", "b"] {
            stream.event(&status_update(text)).await;
        }
        stream.end().await;
    });
    let lines: Vec<_> = out.lines().map(canonical).collect();
    assert_eq!((code, lines), (0, vec![canonical(&status_update("a")), canonical(&status_update("b"))]));
}

#[tokio::test]
async fn send_fails_when_the_task_or_the_call_fails() {
    let mut pair = Pair::start().await;
    for state in ["FAILED", "REJECTED", "CANCELED"] {
        let mut command = client(&pair, &["send", "currency", "x"]);
        let ((code, out, error), ()) = tokio::join!(run(&mut command), async {
            let task = format!(r#"{{"task":{{"id":"t","status":{{"state":"TASK_STATE_{state}"}}}}}}"#);
            pair.agent.request().await.result(&task).await;
        });
        assert_eq!(code, 1);
        assert!(out.contains(state) && error.contains(state), "{out} {error}");
    }
    let mut command = client(&pair, &["send", "currency", "x", "--stream"]);
    let ((code, _, error), ()) = tokio::join!(run(&mut command), async {
        let mut stream = pair.agent.request().await.stream().await;
        stream.event(&status_update("x")).await;
        stream.break_off();
    });
    assert_eq!(code, 1);
    assert!(error.contains("STREAM_BROKEN"), "{error}");
    for (name, says) in [("nobody.x.nowhere", "AGENT_NOT_FOUND"), ("a_b", "404")] {
        let (code, out, error) = run(&mut client(&pair, &["send", name, "x"])).await;
        assert_eq!((code, &*out), (1, ""));
        assert!(error.contains(says), "{error}");
    }
    let nowhere = ["--sidecar", "http://127.0.0.1:9"];
    for command in [&["send", "currency", "x"][..], &["card", "currency"]] {
        let (code, out, error) = run(&mut dragoman(&[command, &nowhere].concat())).await;
        assert_eq!((code, &*out), (1, ""));
        assert!(error.contains("no sidecar answers"), "{error}");
    }
}

#[tokio::test]
async fn card_prints_the_card_as_this_pod_must_use_it() {
    let pair = Pair::start().await;
    let (code, out, error) = run(&mut client(&pair, &["card", "currency"])).await;
    assert_eq!((code, &*out), (1, ""), "{error}");
    pair.agent.show(
        r#"{"name":"Currency","description":"Changes money","version":"7","capabilities":{},"skills":[{"id":"change","name":"c","description":"Money","tags":[]}],
            "supportedInterfaces":[{"url":"http://0.0.0.0:1/","protocolBinding":"JSONRPC","protocolVersion":"1.0"}],
            "defaultInputModes":[],"defaultOutputModes":[]}"#
            .to_owned(),
    );
    let (code, out, _) = run(&mut client(&pair, &["card", "currency", "--json"])).await;
    assert_eq!((code, out.lines().count()), (0, 1));
    let base = format!("http://{}/agents/currency", pair.planner.outbound);
    let card = value(&out);
    assert_eq!((&card["name"], &card["supportedInterfaces"][0]["url"]), (&json!("Currency"), &json!(base)));
    let (code, out, _) = run(&mut client(&pair, &["card", "currency"])).await;
    assert_eq!(code, 0);
    for words in ["Currency 7", "Changes money", "change: Money", &base] {
        assert!(out.contains(words), "{out}");
    }
}

#[tokio::test]
async fn what_is_typed_wrong_is_usage() {
    for arguments in [
        &[][..],
        &["sned"],
        &["send"],
        &["send", "currency"],
        &["send", "currency", "x", "--sidecar", "not a url"],
        &["card"],
        &["sidecar"],
        &["sidecar", "--config", "/nowhere/dragoman.yaml"],
        &["config", "check", "/nowhere/dragoman.yaml"],
        &["certs", "ca", "--trust-domain", "Not A Domain", "--out", "/nowhere"],
        &["completions", "dish"],
    ] {
        let (code, out, error) = run(&mut dragoman(arguments)).await;
        assert_eq!((code, &*out), (64, ""), "{arguments:?}: {error}");
        assert!(!error.is_empty());
    }
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["send", "--help"],
        &["completions", "bash"],
        &["config", "schema"],
    ] {
        let (code, out, error) = run(&mut dragoman(arguments)).await;
        assert_eq!((code, &*error), (0, ""), "{arguments:?}");
        assert!(!out.is_empty());
    }
}

#[tokio::test]
async fn a_configuration_is_checked_with_the_place_of_every_mistake() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("dragoman.yaml");
    let check = async |text: &str, json: &[&str]| {
        std::fs::write(&file, text).unwrap();
        run(dragoman(&["config", "check"]).arg(&file).args(json)).await
    };
    let good = "mesh: {name: east, trustDomain: east.example}\n";
    assert_eq!(check(good, &[]).await.0, 0);
    let (code, out, _) = check(good, &["--json"]).await;
    assert_eq!((code, value(&out)), (0, json!({"file": file, "ok": true})));
    for json in [&[][..], &["--json"]] {
        let (code, out, error) = check(
            "mesh: {name: east, trustDomain: east.example}\nlimits:\n  mesage: 1MiB\n  drain: soon\n",
            json,
        )
        .await;
        assert_eq!((code, &*out), (64, ""));
        for line in [":3:3: ", ":4:10: "] {
            assert!(error.contains(&format!("{}{line}", file.display())), "{error}");
        }
    }
    let (code, _, error) = run(dragoman(&["sidecar", "--config"]).arg(&file)).await;
    assert_eq!(code, 64);
    assert!(error.contains(":3:3: "), "{error}");
    // The sidecar itself takes what the check takes.
    let schema = dir.path().join("schema.json");
    assert_eq!(run(dragoman(&["config", "schema"]).arg(&schema)).await.0, 0);
    assert_eq!(value(&std::fs::read_to_string(schema).unwrap())["title"], "Dragoman configuration");
}

#[tokio::test]
async fn certificates_are_issued_once_there_is_an_authority() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (ca, leaf) = (path("ca"), path("leaf"));
    let make = ["certs", "ca", "--trust-domain", "east.example", "--out", &ca];
    let (code, out, _) = run(&mut dragoman(&[&make[..], &["--json"]].concat())).await;
    assert_eq!((code, value(&out)), (0, json!({"trustDomain": "east.example", "dir": ca})));
    // A key is never overwritten.
    assert_eq!(run(&mut dragoman(&make)).await.0, 1);

    let id = "spiffe://east.example/ns/travel/sa/currency";
    let issue = ["certs", "issue", "--ca", &ca, "--id", id, "--dns", "currency.travel", "--out", &leaf];
    let (code, out, _) = run(&mut dragoman(&[&issue[..], &["--json"]].concat())).await;
    assert_eq!((code, value(&out)), (0, json!({"id": id, "dns": ["currency.travel"], "dir": leaf})));
    let domain = dragoman::identity::TrustDomain::parse("east.example").unwrap();
    let now = dragoman::identity::Clock::system().now();
    let material = dragoman::identity::files::load(Path::new(&leaf), &domain, now).unwrap();
    assert_eq!(material.id.as_str(), id);
    for (id, code) in [("spiffe://west.example/x", 1), ("currency", 64)] {
        let issue = ["certs", "issue", "--ca", &ca, "--id", id, "--out", &leaf];
        assert_eq!(run(&mut dragoman(&issue)).await.0, code, "{id}");
    }
    assert_eq!(run(&mut dragoman(&["certs", "issue", "--ca", &leaf, "--id", id, "--out", &leaf])).await.0, 1);
}

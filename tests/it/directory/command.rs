//! `dragoman agents`.

use super::*;

fn agents(sidecar: &Sidecar, arguments: &[&str]) -> tokio::process::Command {
    let mut command = dragoman(&[&["agents"], arguments].concat());
    command.env("DRAGOMAN_SIDECAR", format!("http://{}", sidecar.outbound));
    command
}

#[tokio::test]
async fn agents_are_shown_as_a_table_or_as_json() {
    let mesh = Mesh::new();
    mesh.issue("directory");
    let directory = Directory::start(&mesh, json!({})).await;
    let (_agent, sidecar) = agent(&mesh, "currency", "convert", json!({})).await;
    let planner = mesh.sidecar("planner", asks(&mesh, &directory)).await;
    directory.find(&mesh.agent("currency"), sidecar.inbound());
    directory.find("hotel.elsewhere.east", "127.0.0.1:9".parse().unwrap());
    eventually("the card", || async {
        let (rows, _) = list(&planner, "?all=true").await;
        (rows.len() == 2 && rows.values().any(|row| row["skills"][0].is_object())).then_some(())
    })
    .await;
    let (code, out, error) = run(&mut agents(&planner, &["--all"])).await;
    assert_eq!((code, &*error), (0, ""));
    let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    let name = format!("currency.{}", mesh.namespace);
    assert_eq!(lines[0], ["NAME", "MESH", "SKILLS", "ENDPOINTS", "HEALTH"]);
    assert_eq!(lines[1], [&name, "east", "convert", "1", "healthy"]);
    assert_eq!(lines[2], ["hotel.elsewhere", "east", "1", "healthy"]);
    for (arguments, shown) in [
        (&[][..], 1),
        (&["--namespace", "elsewhere"], 1),
        (&["--all", "--skill", "does convert"], 1),
        (&["--all", "--mesh", "west"], 0),
    ] {
        let (code, out, _) = run(&mut agents(&planner, &[arguments, &["--json"]].concat())).await;
        assert_eq!((code, value(&out).as_array().unwrap().len()), (0, shown), "{arguments:?}");
    }
    for arguments in [&["--all", "--namespace", "x"][..], &["--namespace", "a.b"], &["--mesh", "a b"]] {
        let (code, out, _) = run(&mut agents(&planner, arguments)).await;
        assert_eq!((code, &*out), (64, ""), "{arguments:?}");
    }
}

#[tokio::test]
async fn who_has_no_directory_is_told_how_to_get_one_and_who_has_none_that_answers_is_warned() {
    let mesh = Mesh::new();
    let alone = mesh.sidecar("alone", known("hotel", &["127.0.0.1:9".parse().unwrap()])).await;
    let (code, out, error) = run(&mut agents(&alone, &[])).await;
    assert!(
        code == 0 && out.contains("hotel.") && error.contains("discovery.directory.url"),
        "{out} {error}"
    );
    let lost = json!({"discovery": {"directory": {"url": "https://127.0.0.1:9"}}});
    let lost = mesh.sidecar("lost", lost).await;
    let (code, out, error) = run(&mut agents(&lost, &["--json"])).await;
    assert!(code == 0 && out == "[]\n" && error.contains("https://127.0.0.1:9"), "{out} {error}");
    let (code, _, error) = run(&mut dragoman(&["agents", "--sidecar", "http://127.0.0.1:9"])).await;
    assert!(code == 1 && error.contains("no sidecar answers"), "{error}");
}

#[tokio::test]
async fn skills_are_shown_of_agents_whose_card_was_read_without_a_directory_too() {
    let mesh = Mesh::new();
    let (_agent, sidecar) = agent(&mesh, "currency", "convert", json!({})).await;
    let planner = mesh.sidecar("planner", known("currency", &[sidecar.inbound()])).await;
    let skills = async || list(&planner, "").await.0[&mesh.agent("currency")]["skills"].clone();
    assert_eq!(skills().await, json!([]));
    let mut client = Client::connect(planner.outbound).await;
    client.request("GET /agents/currency/.well-known/agent-card.json", "Host: localhost\r\n", "").await;
    assert_eq!(client.answer().await.status, 200);
    let skill = json!({"id": "convert", "name": "convert", "description": "does convert", "tags": []});
    assert_eq!(skills().await, json!([skill]));
    assert!(list(&planner, "?skill=fly").await.0.is_empty());
}

#[tokio::test]
async fn a_watch_goes_on_until_the_sidecar_ends() {
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    let mesh = Mesh::new();
    mesh.issue("directory");
    let directory = Directory::start(&mesh, json!({})).await;
    let planner = mesh.sidecar("planner", asks(&mesh, &directory)).await;
    let mut json = agents(&planner, &["--all", "--watch", "--json"]).spawn().unwrap();
    let mut text = agents(&planner, &["--all", "--watch"]).spawn().unwrap();
    let mut json_lines = BufReader::new(json.stdout.take().unwrap()).lines();
    let mut lines = BufReader::new(text.stdout.take().unwrap()).lines();
    let next = json_lines.next_line();
    assert_eq!(value(&soon("a line", next).await.unwrap().unwrap()), serde_json::json!({"synced": true}));
    let name = mesh.agent("hotel");
    directory.find(&name, "127.0.0.1:9".parse().unwrap());
    let line = soon("a line", json_lines.next_line()).await.unwrap().unwrap();
    assert_eq!(value(&line)["updated"]["name"], serde_json::json!(name));
    let line = soon("a line", lines.next_line()).await.unwrap().unwrap();
    assert!(line.starts_with(&format!("+ hotel.{}", mesh.namespace)) && line.contains("healthy"), "{line}");
    directory.lose(&name);
    let line = soon("a line", lines.next_line()).await.unwrap().unwrap();
    assert!(line.starts_with(&format!("- hotel.{}", mesh.namespace)), "{line}");
    drop(planner);
    for child in [&mut json, &mut text] {
        assert_eq!(soon("the end", child.wait()).await.unwrap().code(), Some(1));
    }
}

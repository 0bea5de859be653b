//! What `dragoman check` makes of the directory: it is there, it is gone, and what time it is.

use std::sync::atomic::Ordering;

use super::*;

/// What the sidecar finds about a subject: the verdict, and what is said.
async fn findings(sidecar: &Sidecar, subject: &str) -> Vec<(String, String)> {
    let mut client = Client::connect(sidecar.outbound).await;
    client.request("GET /check", "Host: localhost\r\n", "").await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let found: Vec<Value> = serde_json::from_str(&answer.body).unwrap();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let about = found.iter().filter(|finding| finding["subject"] == subject);
    about.map(|finding| (text(finding, "verdict"), text(finding, "what"))).collect()
}

#[tokio::test]
async fn a_clock_is_compared_with_the_directory_s_and_a_directory_that_is_gone_is_named() {
    let mesh = Mesh::new();
    mesh.issue("directory");
    let directory = Directory::start(&mesh, json!({})).await;
    let planner = mesh.sidecar("planner", asks(&mesh, &directory)).await;
    let url = directory.url();
    let there = format!("the directory at {url}/ answers over mutual TLS");
    assert_eq!(findings(&planner, "directory").await, [("ok".to_owned(), there)]);
    let agrees = format!("this clock agrees with that of the directory at {url}/");
    assert_eq!(findings(&planner, "clock").await, [("ok".to_owned(), agrees)]);
    assert_eq!(findings(&planner, "version").await.len(), 1, "it is of our version");

    mesh.ahead.store(300, Ordering::Relaxed);
    let [(verdict, what)] = &findings(&planner, "clock").await[..] else { panic!("one clock") };
    assert!(verdict == "failed" && what.contains("ahead of that of the directory"), "{what}");

    drop(directory);
    let gone = async || {
        let found = findings(&planner, "directory").await;
        found.into_iter().find(|(verdict, _)| verdict == "warning")
    };
    let (_, what) = eventually("a warning", gone).await;
    assert!(what.contains(&url), "{what}");
}

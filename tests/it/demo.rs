//! `dragoman demo`, as a newcomer would start it.

use std::path::Path;
use std::process::{Output, Stdio};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::{Duration, timeout};

/// Far more than it takes, so that a demo that hangs fails the test.
const PATIENCE: Duration = Duration::from_secs(60);

fn demo(temporary: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dragoman"));
    command.arg("demo").args(args).env("TMPDIR", temporary).env_remove("DRAGOMAN_SIDECAR").kill_on_drop(true);
    command
}

/// Whether nothing was left behind.
fn is_empty(dir: &TempDir) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none()
}

/// The number in front of `what`.
fn number(line: &str, what: &str) -> u64 {
    let (before, _) = line.split_once(what).unwrap_or_else(|| panic!("{what:?} is not in {line:?}"));
    before.trim().rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_demo_tells_its_story_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let shown = timeout(PATIENCE, demo(dir.path(), &["--once"]).output()).await.unwrap().unwrap();
    let Output { status, stdout, stderr } = shown;
    let text = String::from_utf8(stdout).unwrap();
    assert!(status.success(), "{status}\n{text}\n{}", String::from_utf8_lossy(&stderr));
    assert!(stderr.is_empty(), "{}", String::from_utf8_lossy(&stderr));
    for expected in [
        "spiffe://east.example/ns/travel/sa/traveller ▶ spiffe://east.example/ns/travel/sa/planner",
        "spiffe://east.example/ns/travel/sa/planner ▶ spiffe://west.example/ns/bank/sa/currency",
        "INPUT_REQUIRED",
        "900 USD are 1,252,350 KRW",
        "Day 3",
        "COMPLETED  3 days in Seoul for 755,000 KRW",
        "PERMISSION_DENIED",
        "lets spiffe://east.example/ns/travel/sa/traveller ask currency.bank.west for SendMessage",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    let hops: Vec<&str> = text.lines().filter(|line| line.contains(" as protobuf; ")).collect();
    assert_eq!(hops.len(), 3, "{text}");
    for hop in hops {
        let (json, protobuf) = (number(hop, " bytes as JSON"), number(hop, " as protobuf"));
        assert!(0 < protobuf && protobuf < json, "{hop}");
    }
    assert!(!text.contains('\x1b') && text.lines().count() <= 45, "{text}");
    assert!(is_empty(&dir));
}

#[tokio::test]
async fn two_runs_differ_in_nothing_but_ports_and_sizes_of_time() {
    let plain = |output: Output| {
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
        let numbers = regex::Regex::new(r" *-?[0-9.]+ ms|127\.0\.0\.1:[0-9]+").unwrap();
        numbers.replace_all(&text, "#").into_owned()
    };
    let dir = tempfile::tempdir().unwrap();
    let (mut one, mut other) = (demo(dir.path(), &["--once"]), demo(dir.path(), &[]));
    let (one, other) = tokio::join!(one.output(), other.output());
    assert_eq!(plain(one.unwrap()), plain(other.unwrap()));
}

#[tokio::test]
async fn an_interrupted_demo_leaves_nothing_behind_either() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = demo(dir.path(), &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while !lines.next_line().await.unwrap().unwrap().contains("INPUT_REQUIRED") {}
    assert!(!is_empty(&dir));
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    let ended = timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8(ended.stderr).unwrap().contains("interrupted"));
    assert!(is_empty(&dir));
}

#[tokio::test]
async fn a_demo_that_cannot_be_set_up_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let shown = demo(&dir.path().join("nowhere"), &["--once"]).output().await.unwrap();
    assert_eq!(shown.status.code(), Some(1));
    let error = String::from_utf8(shown.stderr).unwrap();
    assert!(error.starts_with("dragoman: the demo has failed: ") && error.contains("nowhere"), "{error}");
}

//! Reads targets from stdin, runs the operations against each and prints one line per operation.

use std::error::Error;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::operations::{self, Failure, Session};

/// Runs until stdin ends.
pub async fn run() -> Result<(), Box<dyn Error>> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        if !line.trim().is_empty() {
            target(&serde_json::from_str(&line)?).await;
            println!("{}", json!({"done": true}));
        }
    }
    Ok(())
}

async fn target(wanted: &Value) {
    let word = |key: &str| wanted[key].as_str().unwrap_or_default().to_string();
    let patience = Duration::from_secs_f64(wanted["seconds"].as_f64().unwrap_or(15.0));
    let open = Session::open(word("base"), word("binding"));
    let session = tokio::time::timeout(patience, open).await;
    for name in operations::NAMES {
        if !selected(&wanted["only"], name) {
            continue;
        }
        let outcome = match &session {
            Ok(Ok(session)) => tokio::time::timeout(patience, operations::run(name, session))
                .await
                .unwrap_or_else(|_| Err(Failure::Fail(format!("no end after {patience:?}")))),
            Ok(Err(failure)) => Err(failure.clone()),
            Err(_) => Err(Failure::Fail(format!("no card after {patience:?}"))),
        };
        let (result, why) = match outcome {
            Ok(()) => ("pass", String::new()),
            Err(Failure::Fail(why)) => ("fail", why),
            Err(Failure::Unsupported(why)) => ("unsupported", why),
        };
        let why = why.replace('\n', " ");
        println!("{}", json!({"operation": name, "result": result, "why": why}));
    }
}

/// `only` names operations in full, or the part before the slash for all of that kind.
fn selected(only: &Value, name: &str) -> bool {
    let Some(only) = only.as_array() else {
        return true;
    };
    let kind = name.split('/').next().unwrap_or(name);
    only.iter().any(|word| *word == name || *word == kind)
}

//! `dragoman agents`: which agents there are, as a running sidecar knows it and directories tell it.

use std::io::{self, IsTerminal as _};

use futures_util::StreamExt as _;
use http::{Request, StatusCode};
use http_body_util::BodyStream;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use terminal_size::{Width, terminal_size};
use tonic::body::Body;

use super::client::{parse, refused, send_request, whole};
use super::{Agents, Failure, note, print, runtime};
use crate::net::describe;

const TITLES: [&str; 5] = ["NAME", "MESH", "SKILLS", "ENDPOINTS", "HEALTH"];
/// Which column gives way where the terminal is too narrow, and how far.
const SKILLS: usize = 2;
const SKILLS_MIN: usize = 12;
/// What stands between columns.
const GAP: &str = "  ";
/// How wide names are when they come one by one.
const NAME_WIDTH: usize = 32;
/// The longest line of a change.
const LINE_MAX: usize = 4 << 20;

const ONLY_KNOWN: &str = "these are the agents that this sidecar has called or is configured with; name the mesh's \
                          directory in discovery.directory.url to see all (docs/directory.md)";

/// Lists agents, or follows them.
pub(super) fn list(args: &Agents) -> Result<(), Failure> {
    let url = url(args)?;
    runtime()?.block_on(async {
        let response = send_request(Request::get(url).body(Body::empty())).await?;
        let status = response.status();
        let header = |name: &str| {
            let values = response.headers().get_all(name).iter();
            values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect::<Vec<_>>()
        };
        let (scope, warnings) = (header("dragoman-scope"), header("dragoman-warning"));
        if status != StatusCode::OK {
            let failure = refused(status, &whole(response).await?);
            return Err(if status == StatusCode::BAD_REQUEST {
                Failure::usage(failure.message)
            } else {
                failure
            });
        }
        for warning in warnings {
            note(&format!("warning: {}", plain(&warning)));
        }
        if args.watch {
            return follow(response, args.running.json).await;
        }
        let agents = parse(&whole(response).await?)?;
        if args.running.json {
            print(&agents.to_string())?;
        } else {
            let agents: Vec<&Value> = agents.as_array().into_iter().flatten().collect();
            let rows: Vec<_> = agents.iter().map(|agent| row(agent)).collect();
            print(&table(&rows, width()))?;
        }
        if scope.iter().any(|scope| scope == "known") {
            note(ONLY_KNOWN);
        }
        Ok(())
    })
}

fn url(args: &Agents) -> Result<http::Uri, Failure> {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut query = Vec::new();
    for (key, value) in [("namespace", &args.namespace), ("skill", &args.skill), ("mesh", &args.mesh)] {
        query.extend(value.iter().map(|value| format!("{key}={}", encoded(value))));
    }
    query.push(format!("all={}", args.all && args.namespace.is_none()));
    query.extend(args.watch.then(|| "watch=true".to_owned()));
    let base = args.running.sidecar.to_string();
    let url = format!("{}/agents?{}", base.trim_end_matches('/'), query.join("&"));
    url.parse().map_err(|error| Failure::usage(format!("{url}: {error}")))
}

/// Prints each change as it comes, until the sidecar ends.
async fn follow(response: http::Response<Body>, json: bool) -> Result<(), Failure> {
    let mut body = BodyStream::new(response.into_body());
    let mut text = Vec::new();
    while let Some(frame) = body.next().await {
        let frame = frame.map_err(|error| Failure::operation(describe(&error)))?;
        text.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..]));
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            change(&parse(&line)?, json)?;
        }
        if text.len() > LINE_MAX {
            return Err(Failure::operation(format!("a line of more than {LINE_MAX} bytes")));
        }
    }
    Err(Failure::operation("the sidecar has ended"))
}

fn change(change: &Value, json: bool) -> Result<(), Failure> {
    if let Some(warning) = change["warning"].as_str() {
        note(&format!("warning: {}", plain(warning)));
    }
    if json {
        return print(&change.to_string());
    }
    if let Some(name) = change["removed"].as_str() {
        let (name, mesh) = split(name);
        return print(&format!("- {name:NAME_WIDTH$}{GAP}{mesh}"));
    }
    if change["updated"].is_object() {
        let [name, mesh, skills, endpoints, health] = row(&change["updated"]);
        let line =
            format!("+ {name:NAME_WIDTH$}{GAP}{mesh}{GAP}{health}, endpoints: {endpoints}{GAP}{skills}");
        return print(line.trim_end());
    }
    Ok(())
}

/// What is shown of an agent.
fn row(agent: &Value) -> [String; 5] {
    let (name, mesh) = split(agent["name"].as_str().unwrap_or_default());
    let skills = agent["skills"].as_array().into_iter().flatten();
    let skills: Vec<String> = skills.filter_map(|skill| skill["id"].as_str()).map(plain).collect();
    let endpoints = agent["endpoints"].as_array().map_or(0, Vec::len);
    let health = if agent["healthy"] == true { "healthy" } else { "unhealthy" };
    [name, mesh, skills.join(", "), endpoints.to_string(), health.to_owned()]
}

/// The name within its mesh, and the mesh.
fn split(name: &str) -> (String, String) {
    let (name, mesh) = name.rsplit_once('.').unwrap_or((name, ""));
    (plain(name), plain(mesh))
}

/// Text of others: it may not move the cursor about.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

/// How wide the terminal is, if there is one.
fn width() -> Option<usize> {
    let (Width(width), _) = io::stdout().is_terminal().then(terminal_size).flatten()?;
    Some(width.into())
}

/// The rows below their titles, in columns. Where they are wider than `width`, the skills are cut.
fn table(rows: &[[String; 5]], width: Option<usize>) -> String {
    let titles = TITLES.map(str::to_owned);
    let mut widths = titles.each_ref().map(|title| title.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let whole = widths.iter().sum::<usize>() + GAP.len() * (widths.len() - 1);
    if let (Some(width), Some(skills)) = (width, widths.get_mut(SKILLS)) {
        let too_wide = whole.saturating_sub(width);
        *skills = skills.saturating_sub(too_wide).max((*skills).min(SKILLS_MIN));
    }
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{:width$}", cut(cell, width)));
        cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
    };
    std::iter::once(&titles).chain(rows).map(line).collect::<Vec<_>>().join("\n")
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_fits_its_terminal_at_the_cost_of_the_skills() {
        let skills = json!([{"id": "convert"}, {"id": "rates"}, {"id": "\u{1b}[2J"}]);
        let agents = [
            json!({"name": "currency.travel.east", "endpoints": ["a", "b"], "healthy": true, "skills": skills}),
            json!({"name": "hotel.travel.west", "endpoints": [], "healthy": false, "skills": []}),
        ];
        let rows: Vec<_> = agents.iter().map(row).collect();
        let wide = [
            "NAME             MESH  SKILLS                ENDPOINTS  HEALTH",
            "currency.travel  east  convert, rates, ?[2J  2          healthy",
            "hotel.travel     west                        0          unhealthy",
        ];
        assert_eq!(table(&rows, None).replace('\u{fffd}', "?"), wide.join("\n"));
        assert_eq!(table(&rows, None), table(&rows, Some(200)));
        for (width, widest) in [(60, 60), (57, 57), (20, 57)] {
            let text = table(&rows, Some(width));
            let longest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(longest <= widest && text.contains('…'), "{text}");
            assert!(text.contains("currency.travel") && text.contains("unhealthy"), "{text}");
        }
        assert_eq!(table(&[], None), "NAME  MESH  SKILLS  ENDPOINTS  HEALTH");
    }
}

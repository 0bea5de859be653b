//! A directory's DNS over a made-up mesh, for programs that others wrote: `zone ADDRESS` serves until its input ends.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use dragoman::a2a::{Home, Name};
use dragoman::directory::serve::{Dns, Metrics, Sockets};
use dragoman::directory::zone::Settings;
use dragoman::directory::{Agent, Card, Endpoint, Skill, Snapshot};
use dragoman::drain::drain;
use dragoman::identity::Clock;
use serde_json::json;
use tokio::sync::watch;

/// Name, whether its card is known, and its skills.
const AGENTS: [(&str, bool, &[&str]); 5] = [
    ("currency.travel", true, &["convert", "rates"]),
    ("weather.travel", true, &["forecast"]),
    ("sleeper.travel", false, &[]),
    ("ledger.bank", true, &["book"]),
    ("currency.travel.west", false, &[]),
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address: SocketAddr = std::env::args().nth(1).ok_or("zone ADDRESS")?.parse()?;
    let sockets = Sockets::bind(&[address])?;
    let (_snapshots, snapshots) = watch::channel(Arc::new(snapshot(address.ip())?));
    let (_trigger, drain) = drain();
    let dns = Dns {
        settings: Settings::new("a2a.cluster.local", "east", "east.example")?,
        snapshots,
        drain,
        clock: Clock::system(),
        seed: 1,
        metrics: Metrics::default(),
    };
    let told = sockets.addresses.clone();
    let _tasks = dns.start(sockets).await?;
    writeln!(std::io::stdout(), "{told:?}")?;
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}

fn snapshot(directory: IpAddr) -> Result<Snapshot, Box<dyn Error>> {
    let home = Home { namespace: "travel".to_owned(), mesh: "east".to_owned() };
    let mut agents = std::collections::BTreeMap::new();
    for (at, (text, known, skills)) in (1..).zip(AGENTS) {
        let name = Name::parse(text, &home)?;
        let endpoint = |replica| Endpoint { address: ([10, 0, at, replica], 2643).into(), ready: true };
        let endpoints = if name.agent() == "sleeper" { Vec::new() } else { [1, 2, 3].map(endpoint).into() };
        let card = known.then(|| card(&name, skills));
        agents.insert(name.clone(), Arc::new(Agent { name, endpoints, card, card_error: None }));
    }
    Ok(Snapshot { agents, addresses: vec![directory], complete: true, ..Snapshot::default() })
}

fn card(name: &Name, skills: &[&str]) -> Card {
    let described = |id: &&str| json!({"id": id, "name": id, "description": id, "tags": [id]});
    let text = json!({
        "name": name.agent(), "description": "An agent of the mesh", "version": "1.2.0",
        "url": format!("https://{}.{}.a2a.cluster.local:2643/", name.agent(), name.namespace()),
        "capabilities": {}, "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
        "skills": skills.iter().map(described).collect::<Vec<_>>(),
    });
    let skill = |id: &&str| Skill {
        id: (*id).to_owned(),
        name: (*id).to_owned(),
        description: (*id).to_owned(),
        tags: vec![(*id).to_owned()],
    };
    Card {
        text: Bytes::from(text.to_string()),
        display_name: name.agent().to_owned(),
        description: "An agent of the mesh".to_owned(),
        version: "1.2.0".to_owned(),
        dialects: vec!["1.0".to_owned()],
        skills: skills.iter().map(skill).collect(),
        read: 0,
    }
}

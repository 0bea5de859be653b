//! A sidecar that asks the directories of other meshes itself: whom they may speak for, and who is believed.

use super::*;

/// Two meshes that believe each other's identities.
fn neighbours() -> (Mesh, Mesh) {
    let (east, west) = (Mesh::new(), Mesh::named("west"));
    for account in ["directory", "planner"] {
        let believed = west.authority.root_pem();
        std::fs::write(east.issue(account).join("west.example.trust-bundle.pem"), believed).unwrap();
    }
    let believed = east.authority.root_pem();
    std::fs::write(west.issue("directory").join("east.example.trust-bundle.pem"), believed).unwrap();
    (east, west)
}

/// A directory with an identity of `west` that tells everybody of all its agents, and says that they are of `mesh`.
async fn directory_of(west: &Mesh, mesh: &str) -> Directory {
    let policy = json!({"allow": [{"from": ["spiffe://east.example/**", "spiffe://west.example/**"]}]});
    Directory::start(west, json!({"mesh": {"name": mesh}, "directory": {"policy": policy}})).await
}

/// The part of a sidecar's configuration that names both directories.
fn asks_both(east: &Mesh, own: &Directory, west: &Directory) -> Value {
    let mut config = asks(east, own);
    // It is in another namespace than our own, which says nothing about it.
    config["meshes"] = json!([{
        "name": "west", "trustDomain": "west.example",
        "directory": west.url(), "server": "spiffe://west.example/ns/*/sa/directory",
    }]);
    config
}

fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

/// Where an agent is, as it is listed.
fn endpoints(rows: &BTreeMap<String, Value>, name: &str) -> Value {
    rows[name]["endpoints"].clone()
}

#[tokio::test]
async fn the_directory_of_another_mesh_adds_nothing_to_this_one() {
    let (east, west) = neighbours();
    let own = Directory::start(&east, json!({})).await;
    let liar = directory_of(&west, "east").await;
    liar.find("currency.travel.east", at("10.66.6.6:2643"));
    liar.find("hotel.travel.east", at("10.66.6.6:2643"));
    own.find("currency.travel.east", at("10.0.0.7:2643"));
    let planner = east.sidecar("planner", asks_both(&east, &own, &liar)).await;
    let mut lines = Lines::of(&planner, "").await;
    logs::line("that it has told, and is not believed", |line| {
        let whose = line["directory"].as_str().is_some_and(|directory| directory.contains(&liar.url()));
        line["message"] == "A directory tells of an agent that is not its own" && whose
    })
    .await;
    listed(&planner, "?all=true", &["currency.travel.east".to_owned()]).await;
    let (rows, warnings) = list(&planner, "?skill=travel").await;
    assert!(rows.keys().eq(["currency.travel.east"]) && warnings.is_empty(), "{rows:?} {warnings:?}");
    assert_eq!(endpoints(&rows, "currency.travel.east"), json!(["10.0.0.7:2643"]));
    // Who watches is told no more than that either, until something else happens.
    own.find("zoo.travel.east", at("10.0.0.8:2643"));
    loop {
        let row = lines.until("updated").await;
        match row["name"].as_str() {
            Some("zoo.travel.east") => break,
            Some("currency.travel.east") => assert_eq!(row["endpoints"], json!(["10.0.0.7:2643"])),
            _ => panic!("{row}"),
        }
    }
}

#[tokio::test]
async fn of_its_own_agents_a_mesh_is_believed_before_whoever_relays_them() {
    let (east, west) = neighbours();
    let own = Directory::start(&east, json!({})).await;
    let far = directory_of(&west, "west").await;
    let (hotel, ledger, loans) = ("hotel.bank.west", "ledger.bank.west", "loans.bank.west");
    own.find(hotel, at("10.0.0.1:2643"));
    own.find(ledger, at("10.0.0.2:2643"));
    far.find(hotel, at("10.9.0.1:2643"));
    far.find(loans, at("10.9.0.3:2643"));
    let planner = east.sidecar("planner", asks_both(&east, &own, &far)).await;
    let rows = listed(&planner, "?mesh=west", &[hotel, ledger, loans].map(str::to_owned)).await;
    assert_eq!(endpoints(&rows, hotel), json!(["10.9.0.1:2643"]), "not at both");
    assert_eq!(endpoints(&rows, ledger), json!(["10.0.0.2:2643"]), "what only the relay is shown");
    assert_eq!(endpoints(&rows, loans), json!(["10.9.0.3:2643"]));
    // By default it is in `dragoman-system`, wherever our own is.
    let mut config = asks_both(&east, &own, &far);
    config["meshes"][0].as_object_mut().unwrap().remove("server");
    let careful = east.sidecar("planner", config).await;
    let warning = list(&careful, "?mesh=west").await.1.remove(0);
    assert!(warning.contains("spiffe://west.example/ns/dragoman-system/sa/*"), "{warning}");
    // Who cannot know is not asked.
    drop(far);
    assert!(list(&planner, "?mesh=east").await.1.is_empty());
    assert!(list(&planner, "?mesh=west&namespace=bank").await.1[0].contains("the directory at"));
}

#[tokio::test]
async fn an_agent_of_a_mesh_that_has_told_nothing_is_not_said_to_be_missing() {
    let east = Mesh::new();
    east.issue("directory");
    let away = json!({"name": "west", "trustDomain": "west.example", "directory": "https://127.0.0.1:9"});
    let own = Directory::start(&east, json!({"meshes": [away]})).await;
    let mesh = |name: &str| json!({"name": name, "trustDomain": format!("{name}.example")});
    let planner = json!({
        "discovery": {"directory": {"nameservers": [own.address("dns").to_string()]}},
        "meshes": [mesh("west"), mesh("north")],
    });
    let planner = east.sidecar("planner", planner).await;
    let params = r#"{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"x"}]}}"#;
    let reason =
        async |mesh: &str| planner.call(&format!("ledger.bank.{mesh}"), "SendMessage", params).await.reason();
    // It knows what it can know.
    own.find(&east.agent("currency"), at("10.0.0.1:2643"));
    eventually("a denial", || async { (reason("north").await == "AGENT_NOT_FOUND").then_some(()) }).await;
    assert_eq!(reason("west").await, "AGENT_UNREACHABLE");
}

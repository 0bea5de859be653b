//! The own certificate, key and bundles: replaced while calls go on, expired, missing, or of somebody else.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use dragoman::identity::{Authority, Clock, Issued};
use serde_json::json;

use crate::harness::agent::{Agent, message, status_update};
use crate::harness::client::say;
use crate::harness::mesh::{Mesh, Pair, Sidecar, beside, known, swap};
use crate::harness::{eventually, soon};

const HOUR: Duration = Duration::from_secs(3600);

/// Waits until a sidecar uses a certificate that ends at that time.
async fn uses(sidecar: &Sidecar, not_after: i64) {
    eventually("the new certificate", || async {
        let expiry = sidecar.metrics().await.sum("dragoman_certificate_expiry_timestamp_seconds", &[]);
        (expiry == not_after as f64).then_some(())
    })
    .await;
}

/// Waits until a sidecar has read that many sets of files.
async fn reloads(sidecar: &Sidecar, count: f64) {
    eventually("the reload", || async {
        let reloads = sidecar.metrics().await.sum("dragoman_identity_reloads_total", &["result=\"ok\""]);
        (reloads >= count).then_some(())
    })
    .await;
}

fn bundle(dir: &Path, roots: &[&Authority]) {
    let text: String = roots.iter().map(|root| root.root_pem()).collect();
    // As rename does it: nobody ever sees half of it.
    std::fs::write(dir.join("draft"), text).unwrap();
    std::fs::rename(dir.join("draft"), dir.join("ca.crt")).unwrap();
}

/// A certificate of a service account that lasts that long.
fn issued(mesh: &Mesh, authority: &Authority, account: &str, lifetime: Duration) -> Issued {
    authority.issue(&mesh.id(account), &[], lifetime, Clock::system().now()).unwrap()
}

/// Saves a certificate whose bundle is that of these roots.
fn save(mesh: &Mesh, issued: &Issued, account: &str, roots: &[&Authority]) {
    let dir = mesh.files(account);
    std::fs::write(dir.join("tls.key"), issued.key_pem()).unwrap();
    std::fs::write(dir.join("tls.crt"), issued.chain_pem()).unwrap();
    bundle(&dir, roots);
}

#[tokio::test]
async fn a_whole_authority_is_replaced_under_load_without_a_call_that_fails() {
    let mesh = Arc::new(Mesh::new());
    let agent = Agent::start().await;
    let currency = mesh.sidecar("currency", beside("currency", &agent.url())).await;
    let _answering = agent.always(|_| message("x"));
    let planner = Arc::new(mesh.sidecar("planner", known("currency", &[currency.inbound()])).await);
    let (over, calls) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (planner, over, calls) = (Arc::clone(&planner), Arc::clone(&over), Arc::clone(&calls));
            dragoman::task::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let answer = planner.call("currency", "SendMessage", &say("x")).await;
                    assert!(answer.body.contains("result"), "{}", answer.body);
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    // Somebody new each time, whose handshake shows what is believed by then.
    let fresh = async |account: &str, works: bool| {
        let newcomer = mesh.start(account, known("currency", &[currency.inbound()]));
        let mut newcomer = newcomer;
        soon("the identity", newcomer.app.ready()).await;
        let answer = newcomer.call("currency", "SendMessage", &say("x")).await;
        assert_eq!(answer.body.contains("result"), works, "{account}: {}", answer.body);
    };

    let next = Authority::new(&mesh.domain, Clock::system().now()).unwrap();
    let both = [&mesh.authority, &next];
    mesh.issue("old");
    bundle(&mesh.files("old"), &both);
    fresh("old", true).await;
    for (sidecar, account) in [(&*planner, "planner"), (&currency, "currency")] {
        bundle(&mesh.files(account), &both);
        reloads(sidecar, 2.0).await;
    }
    for (sidecar, account, seconds) in [(&currency, "currency", 1800), (&*planner, "planner", 2000)] {
        let new = issued(&mesh, &next, account, Duration::from_secs(seconds));
        save(&mesh, &new, account, &both);
        uses(sidecar, new.not_after).await;
    }
    fresh("old", true).await;
    for (sidecar, account) in [(&*planner, "planner"), (&currency, "currency")] {
        let before = sidecar.metrics().await.sum("dragoman_identity_reloads_total", &["result=\"ok\""]);
        bundle(&mesh.files(account), &[&next]);
        reloads(sidecar, before + 1.0).await;
    }
    fresh("old", false).await;
    mesh.issue_by(&next, "new", HOUR);
    fresh("new", true).await;

    let before = calls.load(Ordering::Relaxed);
    soon("more calls", async {
        while calls.load(Ordering::Relaxed) < before + 20 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    over.store(true, Ordering::Relaxed);
    for caller in load {
        caller.await.unwrap();
    }
}

#[tokio::test]
async fn whose_bundle_is_taken_away_gets_no_further_call_on_a_connection_that_stands() {
    let (east, west) = (Mesh::new(), Mesh::named("west"));
    let agent = Agent::start().await;
    let beside = beside("currency", &agent.url());
    let _answering = agent.always(|_| message("abroad"));
    let (to_west, to_east) = (west.issue("currency"), east.issue("planner"));
    let foreign = to_west.join("east.example.trust-bundle.pem");
    std::fs::write(&foreign, east.authority.root_pem()).unwrap();
    std::fs::write(to_east.join("west.example.trust-bundle.pem"), west.authority.root_pem()).unwrap();
    let name = west.agent("currency");
    let mut config = beside;
    config["policy"] = json!({"allow": [{"from": ["spiffe://east.example/**"]}]});
    let mut currency = west.start("currency", config);
    let mut config = known(&name, &[currency.inbound()]);
    config["meshes"] = json!([{"name": "west", "trustDomain": "west.example"}]);
    let mut planner = east.start("planner", config);
    soon("both identities", async { tokio::join!(currency.app.ready(), planner.app.ready()) }).await;
    assert!(planner.call(&name, "SendMessage", &say("x")).await.result().contains("abroad"));

    std::fs::remove_file(foreign).unwrap();
    reloads(&currency, 2.0).await;
    eventually("the refusal", || async {
        let answer = planner.call(&name, "SendMessage", &say("x")).await;
        answer.body.contains("PEER_UNTRUSTED").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_with_the_next_call_and_a_stream_goes_on() {
    let mut pair = Pair::start().await;
    let caller = pair.planner.begin("currency", "SendStreamingMessage", &say("x")).await;
    let mut stream = pair.agent.request().await.stream().await;
    stream.event(&status_update("before")).await;
    let mut caller = caller.reading().await;
    caller.result().await;

    let new = issued(&pair.mesh, &pair.mesh.authority, "planner", Duration::from_secs(1800));
    save(&pair.mesh, &new, "planner", &[&pair.mesh.authority]);
    uses(&pair.planner, new.not_after).await;
    let mut again = pair.planner.begin("currency", "SendMessage", &say("y")).await;
    pair.agent.request().await.result(&message("y")).await;
    assert_eq!(again.answer().await.status, 200);
    stream.event(&status_update("after")).await;
    assert!(caller.result().await.contains("after"));
}

#[tokio::test]
async fn files_that_kubernetes_swaps_all_at_once_are_taken_up() {
    let mesh = Mesh::new();
    let dir = mesh.files("currency");
    let first = issued(&mesh, &mesh.authority, "currency", HOUR);
    let files = |issued: &Issued, root: &Authority| {
        [
            ("tls.crt", issued.chain_pem()),
            ("tls.key", issued.key_pem()),
            ("ca.crt", root.root_pem().to_owned()),
        ]
    };
    swap(&dir, "first", &files(&first, &mesh.authority));
    let agent = Agent::start().await;
    let mut currency = mesh.start("currency", beside("currency", &agent.url()));
    soon("the identity", currency.app.ready()).await;
    uses(&currency, first.not_after).await;

    let next = Authority::new(&mesh.domain, Clock::system().now()).unwrap();
    let second = issued(&mesh, &next, "currency", Duration::from_secs(1800));
    swap(&dir, "second", &files(&second, &next));
    uses(&currency, second.not_after).await;
    mesh.issue_by(&next, "planner", HOUR);
    let mut planner = mesh.start("planner", known("currency", &[currency.inbound()]));
    soon("the identity", planner.app.ready()).await;
    let _answering = agent.always(|_| message("swapped"));
    assert!(planner.call("currency", "SendMessage", &say("x")).await.result().contains("swapped"));
}

#[tokio::test]
async fn files_that_do_not_fit_are_counted_and_the_old_ones_stay_in_use() {
    let pair = Pair::start().await;
    std::fs::write(pair.mesh.files("currency").join("tls.crt"), "-----BEGIN CERTIFICATE-----\nbroken")
        .unwrap();
    eventually("the failure", || async {
        let failed =
            pair.currency.metrics().await.sum("dragoman_identity_reloads_total", &["result=\"error\""]);
        (failed >= 1.0).then_some(())
    })
    .await;
    assert_eq!(pair.currency.page("/readyz").await.status, 200);
    let _answering = pair.agent.always(|_| message("still"));
    assert!(pair.planner.call("currency", "SendMessage", &say("x")).await.result().contains("still"));
}

#[tokio::test]
async fn an_expired_certificate_is_not_ready_and_says_so_until_there_is_a_new_one() {
    let pair = Pair::start().await;
    assert_eq!(pair.currency.page("/readyz").await.status, 200);
    pair.mesh.ahead.store(2 * 3600, Ordering::Relaxed);
    for page in ["/readyz", "/startupz"] {
        let answer = pair.currency.page(page).await;
        assert_eq!(answer.status, 503);
        assert!(
            answer.body.contains("has expired") && answer.body.contains(pair.mesh.id("currency").as_str())
        );
    }
    assert_eq!(pair.currency.page("/livez").await.status, 200);
    assert_eq!(pair.planner.call("currency", "SendMessage", &say("x")).await.reason(), "PEER_UNTRUSTED");
    pair.mesh.issue("currency");
    pair.mesh.issue("planner");
    for sidecar in [&pair.planner, &pair.currency] {
        eventually("readiness", || async { (sidecar.page("/readyz").await.status == 200).then_some(()) })
            .await;
    }
    let _answering = pair.agent.always(|_| message("again"));
    assert!(pair.planner.call("currency", "SendMessage", &say("x")).await.result().contains("again"));
}

#[tokio::test]
async fn a_sidecar_without_an_identity_says_what_is_missing_and_starts_when_it_appears() {
    let mesh = Mesh::new();
    let mut planner = mesh.start("planner", known("currency", &["127.0.0.1:9".parse().unwrap()]));
    for page in ["/startupz", "/readyz"] {
        let says = eventually("the reason", || async {
            let answer = planner.page(page).await;
            assert_eq!(answer.status, 503);
            (!answer.body.contains("not been read")).then_some(answer.body)
        })
        .await;
        assert!(says.contains("no identity") && says.contains("planner"), "{says}");
    }
    let answer = planner.call("currency", "SendMessage", &say("x")).await;
    assert_eq!(answer.reason(), "AGENT_UNREACHABLE");
    mesh.issue("planner");
    soon("the identity", planner.app.ready()).await;
    for page in ["/startupz", "/readyz"] {
        assert_eq!(planner.page(page).await.status, 200);
    }
}

#[tokio::test]
async fn an_identity_of_another_trust_domain_is_not_ready() {
    let (east, west) = (Mesh::new(), Mesh::named("west"));
    let issued = west.authority.issue(&west.id("planner"), &[], HOUR, Clock::system().now()).unwrap();
    issued.save(&east.files("planner")).unwrap();
    let planner = east.start("planner", json!({}));
    let says = eventually("the reason", || async {
        let body = planner.page("/readyz").await.body;
        (!body.contains("not been read")).then_some(body)
    })
    .await;
    assert!(says.contains("west.example") && says.contains("east.example"), "{says}");
}

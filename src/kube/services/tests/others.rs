//! Others at the same Services: users, programs, and further controllers.

use super::*;

#[tokio::test(start_paused = true)]
async fn several_controllers_make_one_service_and_do_not_disturb_each_other() {
    let cluster = Cluster::default();
    let all: Vec<_> = (0..3).map(|seed| keeping(&cluster, seed)).collect();
    moment().await;
    currency(&cluster);
    sleep(Duration::from_hours(1)).await;
    let uid = cluster.get(SERVICE).unwrap()["metadata"]["uid"].clone();
    assert!(calls(&cluster, "PATCH") <= 3);
    let mut changed = cluster.get(SERVICE).unwrap();
    changed["spec"]["selector"] = json!({"app": "currency"});
    cluster.put(changed);
    sleep(Duration::from_hours(1)).await;
    let service = cluster.get(SERVICE).unwrap();
    assert_eq!(service["metadata"]["uid"], uid);
    assert_eq!(service["spec"]["selector"], json!({"agent.dragoman.dev/currency": "true"}));
    assert!(calls(&cluster, "PATCH") <= 6);
    let mended: u64 = all.iter().map(|(_, metrics)| count(metrics, "mended")).sum();
    assert!((1..=3).contains(&mended), "{mended}");
}

fn theirs(port: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "travel", "name": "currency-a2a", "uid": "u1"},
           "spec": {"selector": {"app": "currency"}, "ports": [{"name": port, "port": 2643}]}})
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_service_is_left_alone_and_that_is_said_once() {
    for (port, kind) in [("a2a", "Normal"), ("grpc", "Warning")] {
        let cluster = Cluster::default();
        cluster.put(theirs(port));
        currency(&cluster);
        let (_one, metrics) = keeping(&cluster, 7);
        let (_other, _) = keeping(&cluster, 8);
        moment().await;
        let before = cluster.get(SERVICE).unwrap();
        for n in 0..20 {
            cluster.put(in_set(&format!("currency-1-{n}"), &["currency"], "currency-1"));
            moment().await;
        }
        assert_eq!(cluster.get(SERVICE).unwrap(), before);
        assert_eq!((calls(&cluster, "PATCH"), count(&metrics, "left"), count(&metrics, "failed")), (0, 1, 0));
        let event = cluster.get("/apis/events.k8s.io/v1/namespaces/travel/events/currency-a2a.u1").unwrap();
        assert_eq!((&event["type"], &event["reason"]), (&json!(kind), &json!("MeshServiceLeftAlone")));
        assert_eq!(event["regarding"]["uid"], "u1");
        assert_eq!(event["eventTime"], "2027-01-15T08:00:00.000000Z");
        assert_eq!(calls(&cluster, "POST"), 2, "one of each controller, of which one is too late");
        // Once it is gone, ours takes its place.
        cluster.remove(&before);
        moment().await;
        assert_eq!(owners(&cluster.get(SERVICE).unwrap()), ["d1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_the_mirror_has_not_seen_is_not_touched() {
    let cluster = Cluster::default();
    let (_keeping, metrics) = keeping(&cluster, 7);
    moment().await;
    cluster.fail("GET /api/v1/services?", 503, usize::MAX);
    cluster.expire();
    cluster.put(theirs("a2a"));
    currency(&cluster);
    sleep(Duration::from_mins(10)).await;
    assert_eq!((calls(&cluster, "PATCH"), count(&metrics, "left")), (0, 0));
    cluster.heal();
    sleep(Duration::from_mins(2)).await;
    assert_eq!((calls(&cluster, "PATCH"), count(&metrics, "left")), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn drift_is_mended_but_who_takes_our_label_off_keeps_the_service() {
    let cluster = Cluster::default();
    currency(&cluster);
    let (_keeping, metrics) = keeping(&cluster, 7);
    moment().await;
    let made = cluster.get(SERVICE).unwrap();
    for (pointer, value) in [
        ("/spec/ports/0/name", json!("grpc")),
        ("/spec/publishNotReadyAddresses", json!(true)),
        ("/spec/selector", json!({})),
    ] {
        let mut changed = made.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        cluster.put(changed);
        moment().await;
        sleep(Duration::from_mins(5)).await;
        assert_eq!(cluster.get(SERVICE).unwrap()["spec"], made["spec"], "{pointer}");
    }
    assert_eq!((count(&metrics, "mended"), count(&metrics, "created")), (3, 1));
    assert_eq!(calls(&cluster, &format!("PATCH {SERVICE}?&force=true")), 3);
    let mut taken = made.clone();
    taken["metadata"]["labels"]["app.kubernetes.io/managed-by"] = json!("Helm");
    taken["spec"]["selector"] = json!({"app": "currency"});
    cluster.put(taken);
    sleep(Duration::from_hours(1)).await;
    assert_eq!(cluster.get(SERVICE).unwrap()["spec"]["selector"], json!({"app": "currency"}));
    assert_eq!((count(&metrics, "mended"), count(&metrics, "left")), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn who_fights_us_makes_us_patient() {
    let cluster = Cluster::default();
    currency(&cluster);
    let (_keeping, _) = keeping(&cluster, 7);
    moment().await;
    let start = Instant::now();
    while start.elapsed() < Duration::from_hours(1) {
        let mut changed = cluster.get(SERVICE).unwrap();
        changed["spec"]["selector"] = json!({"app": "currency"});
        cluster.put(changed);
        sleep(Duration::from_millis(100)).await;
    }
    let patches = calls(&cluster, "PATCH");
    assert!((60..130).contains(&patches), "{patches}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_mended_is_made_anew() {
    let cluster = Cluster::default();
    currency(&cluster);
    let (_keeping, metrics) = keeping(&cluster, 7);
    moment().await;
    let mut changed = cluster.get(SERVICE).unwrap();
    changed["spec"]["ports"][0]["port"] = json!(2644);
    let uid = changed["metadata"]["uid"].clone();
    cluster.fail(&format!("PATCH {SERVICE}"), 422, 1);
    cluster.put(changed);
    moment().await;
    let service = cluster.get(SERVICE).unwrap();
    assert_ne!(service["metadata"]["uid"], uid);
    assert_eq!(service["spec"]["ports"][0]["port"], 2643);
    assert_eq!((count(&metrics, "discarded"), count(&metrics, "created")), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn what_bears_our_label_but_says_not_what_it_is_for_is_never_deleted() {
    let cluster = Cluster::default();
    let mut service = theirs("a2a");
    service["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "dragoman"});
    cluster.put(service);
    let (_keeping, _) = keeping(&cluster, 7);
    sleep(Duration::from_hours(2)).await;
    assert!(cluster.get(SERVICE).is_some());
}

//! Services that stay, and Services that go.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_service_that_is_gone_comes_back_with_the_owner_of_today() {
    let cluster = Cluster::default();
    currency(&cluster);
    let (_keeping, metrics) = keeping(&cluster, 7);
    moment().await;
    // Another Deployment has taken over the ReplicaSet, and the first one went, with all that was its own.
    let mut adopted = replica_set("currency-1");
    adopted["metadata"]["ownerReferences"] = json!([owner("apps/v1", "Deployment", "currency", "d2")]);
    cluster.put(adopted);
    let service = cluster.get(SERVICE).unwrap();
    cluster.remove(&service);
    moment().await;
    assert_eq!(owners(&cluster.get(SERVICE).unwrap()), ["d2"]);
    assert_eq!(count(&metrics, "created"), 2);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_scaled_to_zero_keeps_its_service() {
    let cluster = Cluster::default();
    currency(&cluster);
    cluster.put(pod("other", &["weather"], Some(owner("apps/v1", "StatefulSet", "other", "s1"))));
    let (_keeping, metrics) = keeping(&cluster, 7);
    moment().await;
    cluster.remove(&in_set("currency-1-a", &[], "currency-1"));
    let before = cluster.calls().len();
    sleep(Duration::from_hours(48)).await;
    assert!(cluster.get(SERVICE).is_some());
    assert_eq!(count(&metrics, "deleted"), 0);
    let others = cluster.calls()[before..].iter().filter(|call| !call.contains("watch=true")).count();
    assert_eq!(others, 0, "nothing has to be asked for that");
}

/// The agent of the Deployment is called `rates` from now on.
fn rename(cluster: &Cluster, ready: bool) {
    cluster.put(replica_set("currency-2"));
    let mut renamed = in_set("currency-2-a", &["rates"], "currency-2");
    renamed["status"]["conditions"][0]["status"] = json!(if ready { "True" } else { "False" });
    cluster.put(renamed);
    cluster.remove(&in_set("currency-1-a", &[], "currency-1"));
}

#[tokio::test(start_paused = true)]
async fn a_renamed_agent_leaves_no_service_behind_but_not_at_once() {
    let cluster = Cluster::default();
    currency(&cluster);
    let (_keeping, metrics) = keeping(&cluster, 7);
    moment().await;
    rename(&cluster, false);
    sleep(GRACE * 3).await;
    assert!(cluster.get(SERVICE).is_some(), "the new pods do not get ready: perhaps it is rolled back");
    rename(&cluster, true);
    cluster.put(in_set("currency-1-a", &["currency"], "currency-1"));
    moment().await;
    cluster.remove(&in_set("currency-1-a", &[], "currency-1"));
    sleep(GRACE - Duration::from_secs(5)).await;
    assert!(cluster.get(SERVICE).is_some(), "the time begins anew with each pod");
    moment().await;
    moment().await;
    assert!(cluster.get(SERVICE).is_none());
    assert_eq!(owners(&cluster.get(&SERVICE.replace("currency", "rates")).unwrap()), ["d1"]);
    assert_eq!((count(&metrics, "deleted"), count(&metrics, "created")), (1, 2));
    // Rolled back after all.
    cluster.put(in_set("currency-1-b", &["currency"], "currency-1"));
    moment().await;
    assert!(cluster.get(SERVICE).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_service_with_another_owner_that_may_need_it_stays() {
    let cluster = Cluster::default();
    currency(&cluster);
    cluster.put(pod("canary-0", &["currency"], Some(owner("apps/v1", "StatefulSet", "canary", "s1"))));
    let (_keeping, _) = keeping(&cluster, 7);
    moment().await;
    assert_eq!(owners(&cluster.get(SERVICE).unwrap()), ["d1", "s1"]);
    cluster.remove(&pod("canary-0", &[], None));
    rename(&cluster, true);
    sleep(Duration::from_hours(2)).await;
    assert!(cluster.get(SERVICE).is_some(), "the canary is only scaled to zero");
}

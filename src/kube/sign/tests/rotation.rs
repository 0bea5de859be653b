//! Issuers that change, and bundles that several replicas write.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_new_root_is_believed_before_it_signs_and_an_old_one_until_its_certificates_have_expired() {
    let cluster = Cluster::new();
    let replica = cluster.ready().await;
    let old = cluster.secret();
    let new = cluster.rotate();
    tokio::time::sleep(Duration::from_secs(5)).await;
    // Published, and told, but not signing.
    assert!(cluster.publishes(&[&old, &new]));
    assert_eq!(replica.told().await[&domain("a.test")].roots().len(), 2);
    let early = replica.certify("good").await.unwrap();
    assert!(by(&early, &old));
    tokio::time::sleep(SETTLE - Duration::from_secs(10)).await;
    let last = replica.certify("good").await.unwrap();
    assert!(by(&last, &old), "until the very end");
    tokio::time::sleep(Duration::from_secs(20)).await;
    let late = replica.certify("good").await.unwrap();
    assert!(by(&late, &new));
    let State::Loaded(own) = replica.signing.identity.borrow().clone() else { panic!("no own certificate") };
    assert!(by(
        &CertifyResponse { chain: vec![own.chain()[0].to_vec()], ..CertifyResponse::default() },
        &new
    ));
    // Whatever was signed is believed for as long as it is valid.
    tokio::time::sleep(DAY - Duration::from_secs(60)).await;
    let told = replica.told().await;
    verify(&last, &told, cluster.clock.now() - 60);
    verify(&late, &told, cluster.clock.now());
    tokio::time::sleep(Duration::from_mins(30)).await;
    assert!(cluster.publishes(&[&new]));
    assert_eq!(replica.told().await[&domain("a.test")].roots().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_in_the_middle_the_new_root_signs_at_once_and_the_old_one_is_still_believed() {
    let cluster = Cluster::new();
    let replica = cluster.ready().await;
    let early = replica.certify("good").await.unwrap();
    let old = cluster.secret();
    drop(replica);
    let new = cluster.rotate();
    let replica = cluster.ready().await;
    assert!(by(&replica.certify("good").await.unwrap(), &new));
    verify(&early, &replica.told().await, cluster.clock.now());
    assert!(cluster.publishes(&[&old, &new]));
}

#[tokio::test(start_paused = true)]
async fn a_broken_secret_stops_nobody_who_has_an_issuer() {
    let cluster = Cluster::new();
    let replica = cluster.ready().await;
    let old = cluster.secret();
    let good = cluster.object(SECRET);
    let mut broken = good.clone();
    broken["data"]["tls.key"] = json!("eA==");
    cluster.api.put_at(SECRET, broken);
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert!(by(&replica.certify("good").await.unwrap(), &old));
    assert!(cluster.publishes(&[&old]));
    // Who starts now has none, and says why.
    let mut late = cluster.start();
    let reason =
        late.signing.ready.wait_for(|ready| ready.as_ref().is_err_and(|why| why.contains("tls.key")));
    let reason = tokio::time::timeout(Duration::from_secs(30), reason).await.unwrap().unwrap().clone();
    assert_eq!(reason.unwrap_err(), "Secret dragoman-issuer, tls.key: no private key in PEM");
    let status = late.certify("good").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    cluster.api.put_at(SECRET, good);
    late.ready().await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_secret_is_a_rotation() {
    let cluster = Cluster::new();
    let replica = cluster.ready().await;
    let old = cluster.secret();
    cluster.api.remove_at(SECRET);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let new = cluster.secret();
    assert_ne!(new.certificate(), old.certificate());
    assert!(cluster.publishes(&[&old, &new]));
    assert!(by(&replica.certify("good").await.unwrap(), &old));
}

#[tokio::test(start_paused = true)]
async fn what_the_api_server_refuses_is_said_and_tried_again() {
    let cluster = Cluster::new();
    cluster.api.fail("POST /configmaps", 403, 3);
    let mut replica = cluster.start();
    let forbidden = |ready: &Result<(), String>| ready.as_ref().is_err_and(|why| why.contains("ConfigMap"));
    tokio::time::timeout(Duration::from_secs(30), replica.signing.ready.wait_for(forbidden))
        .await
        .expect("a root that is not published signs nothing")
        .unwrap();
    replica.ready().await;
}

#[tokio::test(start_paused = true)]
async fn a_conflict_over_the_bundles_loses_nothing() {
    let cluster = Cluster::new();
    let replica = cluster.ready().await;
    let old = cluster.secret();
    // Somebody else writes into the ConfigMap while we decide.
    cluster.api.fail("PUT /configmaps/", 409, 1);
    let mut map = cluster.object(MAP);
    map["data"]["note"] = json!("by hand");
    cluster.api.put_at(MAP, map);
    let new = cluster.rotate();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(cluster.publishes(&[&old, &new]));
    assert_eq!(cluster.object(MAP)["data"]["note"], "by hand");
    assert!(replica.certify("good").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn replicas_do_not_fight_over_files_that_they_see_differently() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::new();
    for name in ["old", "new"] {
        std::fs::write(dir.path().join(name), root("b.test").pem()).unwrap();
    }
    cluster.settings.files = vec![(domain("b.test"), dir.path().join("old"))];
    let one = cluster.ready().await;
    cluster.settings.files = vec![(domain("b.test"), dir.path().join("new"))];
    let two = cluster.ready().await;
    let before = cluster.api.count(&Method::PUT, "/configmaps/");
    tokio::time::sleep(Duration::from_mins(10)).await;
    let writes = cluster.api.count(&Method::PUT, "/configmaps/") - before;
    assert!((2..=25).contains(&writes), "{writes} writes in ten minutes");
    assert_ne!(one.told().await, two.told().await, "each tells what it sees");
}

#[tokio::test(start_paused = true)]
async fn other_trust_domains_are_told_as_their_files_say() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("west.pem");
    let mut cluster = Cluster::new();
    cluster.settings.files = vec![(domain("b.test"), path.clone()), (domain("a.test"), path.clone())];
    let replica = cluster.ready().await;
    assert_eq!(replica.told().await.len(), 1);
    std::fs::write(&path, root("b.test").pem()).unwrap();
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert!(replica.told().await.contains_key(&domain("b.test")));
    assert!(cluster.object(MAP)["data"]["b.test.trust-bundle.pem"].is_string());
    std::fs::write(&path, "").unwrap();
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!(replica.told().await.len(), 1);
    assert!(cluster.object(MAP)["data"]["b.test.trust-bundle.pem"].is_null());
}

#[tokio::test(start_paused = true)]
async fn an_issuer_of_ours_that_grows_old_is_replaced_in_time() {
    let cluster = Cluster::new();
    let eight_years_ago = NOW - 8 * 365 * 86_400;
    let old = Authority::new(&domain("a.test"), eight_years_ago).unwrap();
    let secret = secret::write("dragoman-issuer", &old, None);
    cluster.api.put_at(SECRET, serde_json::to_value(secret).unwrap());
    let replica = cluster.ready().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let new = cluster.secret();
    assert_ne!(new.certificate(), old.certificate());
    assert!(cluster.publishes(&[&old, &new]));
    assert!(by(&replica.certify("good").await.unwrap(), &old));
    tokio::time::sleep(SETTLE).await;
    assert!(by(&replica.certify("good").await.unwrap(), &new));
    assert_eq!(cluster.secret().certificate(), new.certificate(), "once is enough");
}

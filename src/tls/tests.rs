//! Real handshakes over a pipe in memory.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose};
use rustls::{AlertDescription, CertificateError, HandshakeKind, NamedGroup, ProtocolVersion};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::*;
use crate::identity::{
    LeafRule, Material, Untrusted,
    forge::{A, B, Ca, NOW, bundles, clock, id, leaf_params, material, root, sign, valid},
};

const SNI: &str = "currency.travel.east.a2a";
const ANY_B: &str = "spiffe://b.test/ns/travel/sa/*";

/// One end: TLS, and the sender that replaces its material.
struct End {
    tls: Tls,
    states: watch::Sender<State>,
}

impl End {
    fn with(state: State) -> Self {
        let states = watch::Sender::new(state);
        Self { tls: Tls::new(states.subscribe(), clock()).unwrap(), states }
    }

    fn new(name: &str, ca: &Ca, roots: &[(&str, &Ca)]) -> Self {
        Self::with(State::Loaded(Arc::new(material(name, ca, roots))))
    }

    fn put(&self, material: Material) {
        self.states.send_replace(State::Loaded(Arc::new(material)));
    }

    fn client(&self, expected: &str) -> Arc<ClientConfig> {
        self.tls.client(Pattern::parse(expected).unwrap(), &[b"h2"])
    }

    fn server(&self) -> Arc<ServerConfig> {
        self.tls.server(&[b"h2", b"http/1.1"])
    }
}

type Client = client::TlsStream<DuplexStream>;
type Server = server::TlsStream<DuplexStream>;

async fn shake(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
) -> (io::Result<Client>, io::Result<Server>) {
    let (near, far) = duplex(64 * 1024);
    let name = ServerName::try_from(SNI).unwrap();
    tokio::join!(TlsConnector::from(client).connect(name, near), TlsAcceptor::from(server).accept(far))
}

/// A handshake that must succeed.
async fn connected(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> (Client, Server) {
    let (client, server) = shake(client, server).await;
    (client.unwrap(), server.unwrap())
}

/// Why the client refused; the server must have heard of it.
async fn client_refusal(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> Refusal {
    let (client, server) = shake(client, server).await;
    assert!(is_rejection(&server.unwrap_err()), "the server hears of it");
    Refusal::of(&client.unwrap_err()).unwrap()
}

/// Why the server refused; the client must hear of it with its first read.
async fn server_refusal(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> Refusal {
    let (client, server) = shake(client, server).await;
    let refusal = Refusal::of(&server.unwrap_err()).unwrap();
    let heard = client.unwrap().read_u8().await.unwrap_err();
    assert!(is_rejection(&heard), "{heard}");
    assert_eq!(Refusal::of(&heard), None, "it is the other end's");
    refusal
}

async fn talk(client: &mut Client, server: &mut Server) {
    client.write_all(b"ping").await.unwrap();
    client.flush().await.unwrap();
    let mut heard = [0; 4];
    server.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"ping");
}

/// Two domains that know each other.
fn federated() -> (End, End, Ca, Ca) {
    let (a, b) = (root("a.test"), root("b.test"));
    let both = [("a.test", &a), ("b.test", &b)];
    (End::new(A, &a, &both), End::new(B, &b, &both), a, b)
}

/// Material of a leaf that breaks rules, which no source would load: what a hostile peer brings along.
fn hostile(
    ca: &Ca,
    name: &str,
    change: impl FnOnce(&mut CertificateParams),
) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let mut params = leaf_params(name);
    change(&mut params);
    let (leaf, key) = sign(&params, ca);
    bare(vec![leaf], key)
}

/// TLS that shows this chain and believes everybody.
fn bare(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.clone(), key.clone_key())
        .unwrap();
    let gullible = Gullible(provider.signature_verification_algorithms);
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(gullible))
        .with_client_auth_cert(chain, key)
        .unwrap();
    (Arc::new(server), Arc::new(client))
}

#[tokio::test]
async fn federated_domains_talk_and_know_each_other() {
    let (a, b, ..) = federated();
    let (mut client, mut server) = connected(a.client(ANY_B), b.server()).await;
    talk(&mut client, &mut server).await;
    let (near, far) = (client.get_ref().1, server.get_ref().1);
    let expected = Pattern::parse(ANY_B).unwrap();
    assert_eq!(a.tls.server_of(near, expected).unwrap().peer().id, id(B));
    let seen = b.tls.client_of(far).unwrap().peer().clone();
    assert_eq!((seen.id, seen.not_after), (id(A), NOW + 3600));
    assert_eq!(near.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(near.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(far.server_name(), Some(SNI));
    let group = near.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768, "what is recorded today is not read tomorrow");
}

/// How the second of two connections with the same configurations came about.
async fn second(config: Arc<ClientConfig>, server_config: Arc<ServerConfig>) -> Option<HandshakeKind> {
    let mut kind = None;
    for _ in 0..2 {
        let (mut client, mut server) = connected(Arc::clone(&config), Arc::clone(&server_config)).await;
        // Tickets come behind the handshake, so there must be something to read.
        server.write_all(b"x").await.unwrap();
        server.flush().await.unwrap();
        client.read_u8().await.unwrap();
        kind = client.get_ref().1.handshake_kind();
    }
    kind
}

#[tokio::test]
async fn no_session_is_ever_resumed_whatever_the_peer_would_like() {
    let (end, _, _, b) = federated();
    let (server, client) = hostile(&b, B, |_| {});
    assert_eq!(second(Arc::clone(&client), Arc::clone(&server)).await, Some(HandshakeKind::Resumed));
    assert_eq!(second(end.client(ANY_B), server).await, Some(HandshakeKind::Full));
    assert_eq!(second(client, end.server()).await, Some(HandshakeKind::Full));
    let config = end.server();
    assert_eq!(config.send_tls13_tickets, 0);
    assert!(!config.session_storage.can_cache() && !config.ticketer.enabled());
}

#[tokio::test]
async fn another_id_than_expected_is_a_mismatch_that_names_both() {
    let (a, b, ..) = federated();
    let expected = "spiffe://b.test/ns/travel/sa/hotel";
    let refusal = client_refusal(a.client(expected), b.server()).await;
    let wanted = Pattern::parse(expected).unwrap();
    assert_eq!(refusal, Refusal::Mismatch { expected: wanted, presented: id(B) });
    assert_eq!(refusal.to_string(), format!("expected {expected}, but the peer is {B}"));
    let refusal = client_refusal(a.client("spiffe://a.test/**"), b.server()).await;
    assert!(matches!(refusal, Refusal::Mismatch { .. }), "{refusal}");
}

#[tokio::test]
async fn a_domain_without_a_bundle_is_not_believed() {
    let (a, b) = (root("a.test"), root("b.test"));
    let (near, far) =
        (End::new(A, &a, &[("a.test", &a)]), End::new(B, &b, &[("a.test", &a), ("b.test", &b)]));
    let refusal = client_refusal(near.client(ANY_B), far.server()).await;
    assert_eq!(refusal, Refusal::Untrusted(Untrusted::NoBundle { id: id(B) }));
    let refusal = server_refusal(far.client("spiffe://a.test/**"), near.server()).await;
    assert_eq!(refusal, Refusal::Untrusted(Untrusted::NoBundle { id: id(B) }));
}

#[tokio::test]
async fn a_root_of_one_domain_vouches_for_no_id_of_another() {
    let (end, _, a, _) = federated();
    let (server, client) = hostile(&a, B, |_| {});
    let chain =
        |refusal| matches!(refusal, Refusal::Untrusted(Untrusted::Chain { id: named, .. }) if named == id(B));
    assert!(chain(client_refusal(end.client(ANY_B), server).await));
    assert!(chain(server_refusal(client, end.server()).await));
}

#[tokio::test]
async fn a_leaf_that_breaks_a_rule_is_refused_at_both_ends() {
    let (end, _, _, b) = federated();
    let (server, client) = hostile(&b, B, |params| params.key_usages.clear());
    let rule = |refusal| {
        matches!(refusal, Refusal::Untrusted(Untrusted::Leaf { rule: LeafRule::KeyUsageAbsent, .. }))
    };
    assert!(rule(client_refusal(end.client(ANY_B), server).await));
    assert!(rule(server_refusal(client, end.server()).await));
    let only_client = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    let (_, client) = hostile(&b, B, only_client);
    let refusal = server_refusal(client, end.server()).await;
    assert!(
        matches!(refusal, Refusal::Untrusted(Untrusted::Leaf { rule: LeafRule::NoServerAuth, .. })),
        "{refusal}"
    );
}

#[tokio::test]
async fn an_expired_peer_is_refused_at_both_ends() {
    let (end, _, _, b) = federated();
    let (server, client) = hostile(&b, B, |params| valid(params, -7200, -1));
    let expired = Refusal::Untrusted(Untrusted::Expired { id: id(B), not_after: NOW - 1 });
    assert_eq!(client_refusal(end.client(ANY_B), server).await, expired);
    assert_eq!(server_refusal(client, end.server()).await, expired);
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let (end, _, _, _) = federated();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let gullible = Gullible(provider.signature_verification_algorithms);
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(gullible))
        .with_no_client_auth();
    assert_eq!(server_refusal(Arc::new(client), end.server()).await, Refusal::Anonymous);
}

#[tokio::test]
async fn a_peer_needs_the_key_to_its_certificate() {
    let (end, _, _, b) = federated();
    let ((leaf, _), (_, other_key)) = (sign(&leaf_params(B), &b), sign(&leaf_params(B), &b));
    let stolen = Arc::new(rustls::sign::CertifiedKey::new(
        vec![leaf],
        aws_lc_rs::sign::any_supported_type(&other_key).unwrap(),
    ));
    let server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(stolen)));
    let refusal = client_refusal(end.client(ANY_B), Arc::new(server)).await;
    assert_eq!(refusal, Refusal::Unproven(CertificateError::BadSignature));
}

#[tokio::test]
async fn an_identity_that_is_not_loaded_neither_connects_nor_accepts() {
    let (end, ..) = federated();
    let blank = End::with(State::Missing("/run/x: tls.crt is missing".to_owned()));
    let refusal = client_refusal(blank.client("spiffe://a.test/**"), end.server()).await;
    assert_eq!(refusal, Refusal::NotReady("/run/x: tls.crt is missing".to_owned()));
    let (client, server) = shake(end.client(ANY_B), blank.server()).await;
    assert!(server.is_err() && is_rejection(&client.unwrap_err()));
}

#[tokio::test]
async fn a_new_key_is_shown_without_a_new_configuration() {
    let (a, b, ca, root_b) = federated();
    let (config, server_config) = (a.client(ANY_B), b.server());
    let (mut old_client, mut old_server) = connected(Arc::clone(&config), Arc::clone(&server_config)).await;
    let both = [("a.test", &ca), ("b.test", &root_b)];
    let old = old_client.get_ref().1.peer_certificates().unwrap().to_vec();
    a.put(material("spiffe://a.test/ns/travel/sa/renewed", &ca, &both));
    b.put(material(B, &root_b, &both));
    let (client, server) = connected(config, server_config).await;
    assert_ne!(client.get_ref().1.peer_certificates().unwrap(), old);
    let seen = b.tls.client_of(server.get_ref().1).unwrap();
    assert_eq!(seen.peer().id, id("spiffe://a.test/ns/travel/sa/renewed"));
    talk(&mut old_client, &mut old_server).await;
}

#[tokio::test]
async fn bundles_come_and_go_without_a_new_configuration() {
    let (a, b) = (root("a.test"), root("b.test"));
    let (own, both) = ([("a.test", &a)], [("a.test", &a), ("b.test", &b)]);
    let (near, far) = (End::new(A, &a, &own), End::new(B, &b, &both));
    let (config, server_config) = (near.client(ANY_B), far.server());
    client_refusal(Arc::clone(&config), Arc::clone(&server_config)).await;
    near.put(material(A, &a, &both));
    let (mut client, mut server) = connected(Arc::clone(&config), Arc::clone(&server_config)).await;
    near.put(material(A, &a, &own));
    let refusal = client_refusal(config, server_config).await;
    assert!(matches!(refusal, Refusal::Untrusted(Untrusted::NoBundle { .. })), "{refusal}");
    talk(&mut client, &mut server).await;
}

/// Whether a connection fades, and whether it is over, once `change` has happened and a minute has passed.
async fn after(end: &End, belief: Belief, change: impl FnOnce(&End)) -> (bool, bool) {
    let faded = AtomicBool::new(false);
    let lost = belief.lost(|| faded.store(true, Ordering::Relaxed));
    tokio::pin!(lost);
    assert!(timeout(Duration::from_secs(3600), &mut lost).await.is_err());
    assert!(!faded.load(Ordering::Relaxed));
    change(end);
    let over = timeout(Duration::from_secs(60), lost).await.is_ok();
    (faded.load(Ordering::Relaxed), over)
}

#[tokio::test(start_paused = true)]
async fn a_connection_lasts_as_long_as_both_ends_are_who_they_were() {
    let (a, b, ca, cb) = federated();
    let both = [("a.test", &ca), ("b.test", &cb)];
    let seen = async || {
        let (client, server) = connected(a.client(ANY_B), b.server()).await;
        (client, b.tls.client_of(server.get_ref().1).unwrap())
    };
    let (_client, belief) = seen().await;
    assert_eq!(
        after(&b, belief, |b| b.put(material(B, &cb, &both))).await,
        (true, false),
        "own leaf renewed"
    );

    let (_client, belief) = seen().await;
    let gone = |b: &End| b.put(material(B, &cb, &[("b.test", &cb)]));
    assert_eq!(after(&b, belief, gone).await, (true, true), "bundle taken away");

    b.put(material(B, &cb, &both));
    let (_client, belief) = seen().await;
    let other = root("a.test");
    let exchanged = |b: &End| b.put(material(B, &cb, &[("a.test", &other), ("b.test", &cb)]));
    assert_eq!(after(&b, belief, exchanged).await, (true, true), "root replaced");
}

#[tokio::test(start_paused = true)]
async fn an_expired_peer_may_end_what_it_has_begun() {
    let (a, b, _, cb) = federated();
    let ahead = Arc::new(AtomicI64::new(0));
    let later = Arc::clone(&ahead);
    let clock = Clock::new(move || NOW + later.load(Ordering::Relaxed));
    let (client, _server) = connected(a.client(ANY_B), b.server()).await;
    let tls = Tls::new(a.states.subscribe(), clock).unwrap();
    let belief = tls.server_of(client.get_ref().1, Pattern::parse(ANY_B).unwrap()).unwrap();
    let faded = after(&a, belief, |_| ahead.store(3600, Ordering::Relaxed)).await;
    assert_eq!(faded, (true, false));
    drop(cb);
}

#[tokio::test]
async fn roots_are_exchanged_by_way_of_a_bundle_of_both() {
    let (old, new, b) = (root("a.test"), root("a.test"), root("b.test"));
    let far = End::new(B, &b, &[("a.test", &old), ("b.test", &b)]);
    let near = End::new(A, &new, &[("a.test", &new), ("b.test", &b)]);
    let (config, server_config) = (near.client(ANY_B), far.server());
    server_refusal(Arc::clone(&config), Arc::clone(&server_config)).await;
    let mut known = bundles(&[("b.test", &b)]);
    let a = id(A).trust_domain().clone();
    let roots = vec![old.der().clone(), new.der().clone()];
    known.insert(a.clone(), crate::identity::Bundle::new(&a, roots).unwrap());
    let (leaf, key) = sign(&leaf_params(B), &b);
    far.put(Material::new(id(B).trust_domain(), vec![leaf], key, known, NOW).unwrap());
    connected(config, server_config).await;
}

#[tokio::test]
async fn without_a_common_protocol_there_is_no_connection() {
    let (a, b, ..) = federated();
    let client = a.tls.client(Pattern::parse(ANY_B).unwrap(), &[b"h3"]);
    let (client, server) = shake(client, b.server()).await;
    let heard = client.unwrap_err();
    assert_eq!(alert(&heard), Some(AlertDescription::NoApplicationProtocol));
    assert!(!is_rejection(&heard), "it is not about certificates");
    assert!(server.is_err());
}

/// A verifier of test clients that are about to be refused themselves.
#[derive(Debug)]
struct Gullible(WebPkiSupportedAlgorithms);

impl rustls::client::danger::ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::HandshakeNotComplete)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.supported_schemes()
    }
}

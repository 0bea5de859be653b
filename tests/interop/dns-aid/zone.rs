//! A directory's DNS and catalogue over a made-up mesh, for programs that others wrote: `zone DNS HTTPS ROOTS` serves at these
//! two addresses until its input ends. The file ROOTS gets the roots of its certificate.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dragoman::a2a::{Home, Name};
use dragoman::directory::serve::{Dns, Metrics, Sockets};
use dragoman::directory::zone::Settings;
use dragoman::directory::{Agent, Card, Catalog, Endpoint, Known, Snapshot};
use dragoman::drain::{Drain, drain};
use dragoman::identity::{Authority, Clock, Material, SpiffeId, State, TrustDomain};
use dragoman::net::serve::{Accepted, Callers, Http};
use dragoman::tls::Tls;
use dragoman::{net, task};
use futures_util::FutureExt as _;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

const ZONE: &str = "a2a.cluster.local";
const TRUST_DOMAIN: &str = "east.example";

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
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dns, https, roots] = &*arguments else { return Err("zone DNS HTTPS ROOTS".into()) };
    let (dns, https): (SocketAddr, SocketAddr) = (dns.parse()?, https.parse()?);
    let clock = Clock::system();
    let sockets = Sockets::bind(&[dns])?;
    let (_snapshots, snapshots) = watch::channel(Arc::new(snapshot(https.ip(), &clock)?));
    let (_states, states) = watch::channel(State::Loaded(identity(&clock, roots.as_ref())?.into()));
    let (_complete, complete) = watch::channel(Ok(()));
    let (_trigger, drain) = drain();
    let known = Known { snapshots: snapshots.clone(), complete, mesh: "east".into() };
    let tls = Tls::new(states, clock.clone())?;
    let _catalog = catalog(https, &tls, Catalog::new(known, ZONE), &drain)?;
    let settings = Settings::new(ZONE, "east", TRUST_DOMAIN)?;
    let dns = Dns { settings, snapshots, drain, clock, seed: 1, metrics: Metrics::default() };
    let told = sockets.addresses.clone();
    let _dns = dns.start(sockets).await?;
    writeln!(std::io::stdout(), "{told:?} {https}")?;
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}

/// Answers over HTTPS, as the controller's door does.
fn catalog(
    address: SocketAddr,
    tls: &Tls,
    catalog: Catalog,
    drain: &Drain,
) -> Result<Vec<AbortOnDropHandle<()>>, Box<dyn Error>> {
    let acceptor = TlsAcceptor::from(tls.open_server(&[b"h2", b"http/1.1"]));
    let accept = move |stream: TcpStream| {
        let (acceptor, catalog) = (acceptor.clone(), catalog.clone());
        async move {
            let stream = acceptor.accept(stream).await.ok()?;
            let service = service_fn(move |request: Request<Incoming>| {
                let catalog = catalog.clone();
                async move { Ok::<_, Infallible>(catalog.serve(request).await) }.boxed()
            });
            Some(Accepted::new(stream, service))
        }
    };
    let listeners = net::listen(&[address])?.into_iter();
    let serve = |listener| Http::new(Callers::Anybody).serve(listener, drain.clone(), None, accept.clone());
    Ok(listeners.map(serve).map(task::spawn).collect())
}

/// The directory's identity, with the names that clients of the catalogue look for.
fn identity(clock: &Clock, roots: &Path) -> Result<Material, Box<dyn Error>> {
    let domain = TrustDomain::parse(TRUST_DOMAIN)?;
    let authority = Authority::new(&domain, clock.now())?;
    std::fs::write(roots, authority.root_pem())?;
    let id = SpiffeId::parse(&format!("spiffe://{TRUST_DOMAIN}/ns/dragoman-system/sa/dragoman-controller"))?;
    let names = [ZONE, &format!("*.{ZONE}")];
    let issued = authority.issue(&id, &names, Duration::from_hours(1), clock.now())?;
    let bundles = [(domain.clone(), authority.bundle()?)].into();
    Ok(Material::new(&domain, issued.chain(), issued.key(), bundles, clock.now())?)
}

fn snapshot(directory: IpAddr, clock: &Clock) -> Result<Snapshot, Box<dyn Error>> {
    let home = Home { namespace: "travel".to_owned(), mesh: "east".to_owned() };
    let mut agents = BTreeMap::new();
    for (at, (text, known, skills)) in (1..).zip(AGENTS) {
        let name = Name::parse(text, &home)?;
        let endpoint = |replica| Endpoint { address: ([10, 0, at, replica], 2643).into(), ready: true };
        let endpoints = if name.agent() == "sleeper" { Vec::new() } else { [1, 2, 3].map(endpoint).into() };
        let card = known.then(|| Card::read(card(&name, skills), clock.now())).transpose()?;
        agents.insert(name.clone(), Arc::new(Agent { name, endpoints, card, card_error: None }));
    }
    Ok(Snapshot { agents, addresses: vec![directory], complete: true, ..Snapshot::default() })
}

/// The card as the agent shows it at home.
fn card(name: &Name, skills: &[&str]) -> Bytes {
    let described = |id: &&str| json!({"id": id, "name": id, "description": id, "tags": [id]});
    let interface =
        json!({"url": "http://127.0.0.1:9000/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"});
    let card = json!({
        "name": name.agent(), "description": format!("The {} of the mesh", name.agent()), "version": "1.2.0",
        "supportedInterfaces": [interface],
        "capabilities": {}, "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
        "skills": skills.iter().map(described).collect::<Vec<_>>(),
    });
    card.to_string().into()
}

//! Where agents are, according to dnsmasq: a DNS server that others wrote.

use std::{collections::HashMap, io, net::SocketAddr, path::Path, process::Stdio, time::Duration};

use dragoman::{
    a2a::{Home, Name},
    discovery::{Bounds, Config, Discovery, Metrics, Source, Unresolved},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::UdpSocket,
    process::{Child, Command},
    time::timeout,
};

/// What the server knows. The second half stands for an agent with plain addresses only.
const RECORDS: &str = "
srv-host=_a2a._tcp.currency-a2a.travel.svc.cluster.local,pod-0.currency-a2a.travel.svc.cluster.local,7001,10
srv-host=_a2a._tcp.currency-a2a.travel.svc.cluster.local,pod-1.currency-a2a.travel.svc.cluster.local,7001,10
srv-host=_a2a._tcp.currency-a2a.travel.svc.cluster.local,spare.currency-a2a.travel.svc.cluster.local,7001,20
host-record=pod-0.currency-a2a.travel.svc.cluster.local,10.0.0.1
host-record=pod-1.currency-a2a.travel.svc.cluster.local,10.0.0.2,fd00::2
host-record=spare.currency-a2a.travel.svc.cluster.local,10.0.0.3
host-record=weather.travel.svc.cluster.local,10.0.1.1
cname=alias.travel.svc.cluster.local,weather.travel.svc.cluster.local
";

/// Starts dnsmasq on a free port, with such records, and waits until it serves. None if this machine has no dnsmasq; in CI that is an error.
pub(crate) async fn start(dir: &Path, records: &str) -> Option<(Child, SocketAddr)> {
    for _ in 0..8 {
        // dnsmasq takes no port 0. Between this line and its start somebody else may take the port: then once more.
        let address = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let config = dir.join("dnsmasq.conf");
        let settings = format!(
            "port={}\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\nlocal=/cluster.local/\nlocal-ttl=5\n",
            address.port()
        );
        std::fs::write(&config, settings + records).unwrap();
        let child = Command::new("dnsmasq")
            .args(["--keep-in-foreground", "--log-facility=-", "--user=", "--pid-file="])
            .arg(format!("--conf-file={}", config.display()))
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        if matches!(&child, Err(error) if error.kind() == io::ErrorKind::NotFound) {
            skip();
            return None;
        }
        let mut child = child.unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        while let Some(line) = timeout(Duration::from_secs(10), lines.next_line()).await.unwrap().unwrap() {
            said.push_str(&line);
            said.push('\n');
            if line.contains("started") {
                return Some((child, address));
            }
        }
        assert!(said.contains("in use"), "{said}");
    }
    panic!("no free port for dnsmasq");
}

fn skip() {
    const ADVICE: &str = "there is no dnsmasq on the path: apt-get install dnsmasq-base";
    assert!(std::env::var_os("CI").is_none(), "{ADVICE}");
    #[expect(clippy::print_stderr, reason = "who runs the tests should know what was not tested")]
    {
        eprintln!("Skipped: {ADVICE}");
    }
}

async fn find(discovery: &Discovery, agent: &str) -> Result<Vec<SocketAddr>, Unresolved> {
    let name = Name::parse(agent, &home()).unwrap();
    let endpoints = discovery.endpoints(&name).await?;
    let addresses = endpoints.borrow().addresses.to_vec();
    Ok(addresses)
}

fn home() -> Home {
    Home { namespace: "travel".into(), mesh: "east".into() }
}

fn addresses(texts: &[&str]) -> Result<Vec<SocketAddr>, Unresolved> {
    Ok(texts.iter().map(|text| text.parse().unwrap()).collect())
}

#[tokio::test]
async fn agents_are_found_through_dnsmasq() {
    let dir = tempfile::tempdir().unwrap();
    let Some((_child, address)) = start(dir.path(), RECORDS).await else { return };
    let config = Config {
        home: home(),
        cluster_domain: "cluster.local".into(),
        port: 2643,
        nameservers: Source::Listed(vec![address]),
        meshes: HashMap::new(),
        directory: None,
        fixed: HashMap::new(),
        bounds: Bounds::default(),
    };
    let discovery = Discovery::by_dns(config, 1, Metrics::default());

    let replicas = addresses(&["10.0.0.1:7001", "10.0.0.2:7001", "[fd00::2]:7001"]);
    assert_eq!(find(&discovery, "currency").await, replicas, "the best priority, with and without glue");
    assert_eq!(find(&discovery, "weather").await, addresses(&["10.0.1.1:2643"]));
    assert_eq!(find(&discovery, "alias").await, addresses(&["10.0.1.1:2643"]));
    let error = find(&discovery, "nobody").await.unwrap_err();
    assert!(matches!(&error, Unresolved::Absent { reason, .. } if reason.contains("NXDOMAIN")), "{error}");
}

//! The stage: an agent, a DNS server, and the sidecars and crowds that a case asks for. Everything but the DNS server is a
//! process, and ends with its value.

use std::cell::Cell;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use tokio::time::{Instant, sleep};

use super::crowd::{Order, Outcome};
use super::dns::Dns;
use super::process::Process;
use super::sidecar::Sidecar;
use super::sidecars::{Ground, Log};

/// The path of the agent that the callee's sidecar stands beside.
pub(crate) const CALLEE: &str = "/agents/callee.lab";
/// How many connections are made in one order, so that none takes too long.
const PORTION: usize = 1000;
/// How long sockets may take to close.
const CLOSING: Duration = Duration::from_secs(20);

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// What all cases use.
pub(crate) struct Stage<'a> {
    pub(crate) dns: Dns,
    agent_address: SocketAddr,
    _agent: Process,
    /// It has a port, and nobody listens there.
    deaf: Socket,
    ground: Ground,
    dragoman: &'a Path,
    /// How many sidecars there were. Each has files of its own.
    sidecars: Cell<usize>,
}

/// A process that holds connections to one sidecar.
pub(crate) struct Crowd(Process);

impl<'a> Stage<'a> {
    pub(crate) async fn build(dragoman: &'a Path) -> Result<Self> {
        let mut agent = Process::role("agent", &[])?;
        let deaf = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        deaf.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())?;
        Ok(Self {
            dns: Dns::start().await?,
            agent_address: agent.line().await?.parse()?,
            _agent: agent,
            deaf,
            ground: Ground::new(dragoman)?,
            dragoman,
            sidecars: Cell::new(0),
        })
    }

    /// A sidecar beside the agent, which is there under all of these names. It takes peers on every address.
    pub(crate) async fn callee(&self, names: &[&str]) -> Result<Sidecar> {
        let url = format!("http://{}", self.agent_address);
        let agents: Vec<Value> = names.iter().map(|name| json!({"name": name, "url": url})).collect();
        let own = json!({
            "identity": {"files": {"dir": self.ground.identity("callee", &[])?}},
            "agents": agents,
            "inbound": {"listen": "0.0.0.0:0"},
        });
        self.sidecar("callee", own).await
    }

    /// A sidecar of a pod that only calls. Of agents that `known` does not tell it asks the stage's DNS server; those
    /// with more replicas than an answer can tell the port of are on `port`.
    pub(crate) async fn caller(&self, known: Value, port: u16) -> Result<Sidecar> {
        let own = json!({
            "identity": {"files": {"dir": self.ground.identity("caller", &[])?}},
            "discovery": {"static": known, "nameservers": [self.dns.address], "port": port},
        });
        self.sidecar("caller", own).await
    }

    /// A caller and a callee, of which the caller has been told.
    pub(crate) async fn pair(&self) -> Result<(Sidecar, Sidecar)> {
        let callee = self.callee(&["callee"]).await?;
        let port = port(&callee)?;
        let caller = self.caller(json!({"callee.lab": replicas(port, 1)}), port).await?;
        Ok((caller, callee))
    }

    /// Addresses at which connections are refused.
    pub(crate) fn deaf(&self, count: usize) -> Result<Vec<SocketAddr>> {
        let address = self.deaf.local_addr()?.as_socket().ok_or("a socket without an address")?;
        Ok(replicas(address.port(), count))
    }

    async fn sidecar(&self, name: &str, own: Value) -> Result<Sidecar> {
        self.sidecars.update(|number| number + 1);
        let name = format!("{name}-{}", self.sidecars.get());
        Sidecar::new(self.ground.sidecar(&name, own, self.dragoman, Log::Null).await?)
    }
}

impl Crowd {
    /// Nobody yet.
    pub(crate) fn of(sidecar: &Sidecar) -> Result<Self> {
        Ok(Self(Process::role("crowd", &[&sidecar.outbound.to_string()])?))
    }

    /// Has it do something, of which all must succeed.
    pub(crate) async fn order(&mut self, order: &Order) -> Result<()> {
        let Outcome { refused, .. } = self.try_order(order).await?;
        if refused > 0 { Err(format!("{order:?}: {refused} failed").into()) } else { Ok(()) }
    }

    /// Has it do something.
    pub(crate) async fn try_order(&mut self, order: &Order) -> Result<Outcome> {
        self.0.say(&serde_json::to_string(order)?).await?;
        Ok(serde_json::from_str(&self.0.line().await?)?)
    }

    /// So many more streams that stay open.
    pub(crate) async fn stream(&mut self, count: usize) -> Result<()> {
        for streams in portions(count) {
            self.order(&Order::Stream { path: CALLEE.to_owned(), streams }).await?;
        }
        Ok(())
    }

    /// So many more connections that have called once.
    pub(crate) async fn rest(&mut self, count: usize) -> Result<()> {
        for connections in portions(count) {
            self.order(&Order::Rest { path: CALLEE.to_owned(), connections }).await?;
        }
        Ok(())
    }

    /// Closes everything, and waits until the sidecars have no more sockets than that.
    pub(crate) async fn leave(&mut self, sidecars: [&Sidecar; 2], sockets: usize) -> Result<()> {
        self.order(&Order::Leave).await?;
        let began = Instant::now();
        for sidecar in sidecars {
            while sidecar.reading()?.sockets > sockets {
                if began.elapsed() > CLOSING {
                    return Err(format!("{} sockets stay open", sidecar.reading()?.sockets).into());
                }
                sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }
}

/// The port at which peers reach a sidecar.
pub(crate) fn port(sidecar: &Sidecar) -> Result<u16> {
    Ok(sidecar.inbound.ok_or("no inbound listener")?.port())
}

/// So many addresses of this machine, with one port.
pub(crate) fn replicas(port: u16, count: usize) -> Vec<SocketAddr> {
    let first = u32::from(Ipv4Addr::LOCALHOST);
    (first..).take(count).map(|address| (Ipv4Addr::from(address), port).into()).collect()
}

fn portions(count: usize) -> impl Iterator<Item = usize> {
    (0..count).step_by(PORTION).map(move |done| PORTION.min(count - done))
}

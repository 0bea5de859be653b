//! Sockets for DNS: UDP and TCP on the same addresses and ports.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

use crate::net::{listen, local};

/// How often to look for a port that is free for both, if any will do.
const TRIES: usize = 16;

/// Sockets that nobody answers on yet.
#[derive(Debug)]
pub struct Sockets {
    /// What was really bound.
    pub addresses: Vec<SocketAddr>,
    pub(super) udp: Vec<UdpSocket>,
    pub(super) tcp: Vec<TcpListener>,
}

impl Sockets {
    /// Binds every address for UDP and TCP, as [`listen`] does; a port of 0 is the same for both.
    ///
    /// # Errors
    /// If an address is taken, or none is left.
    pub fn bind(addresses: &[SocketAddr]) -> io::Result<Self> {
        let any_port = addresses.iter().any(|address| address.port() == 0);
        let mut tries = if any_port { TRIES } else { 1 };
        loop {
            let tcp = listen(addresses)?;
            let addresses = local(&tcp)?;
            tries -= 1;
            match addresses.iter().map(|address| datagrams(*address)).collect() {
                Ok(udp) => return Ok(Self { addresses, udp, tcp }),
                Err(error) if tries == 0 => return Err(error),
                Err(_) => {}
            }
        }
    }
}

fn datagrams(address: SocketAddr) -> io::Result<UdpSocket> {
    let bind = || {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        socket.bind(&address.into())?;
        UdpSocket::from_std(socket.into())
    };
    bind().map_err(|error: io::Error| {
        io::Error::new(error.kind(), format!("cannot listen on {address} (UDP): {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_protocols_have_the_same_port() {
        let sockets = Sockets::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        assert_eq!(sockets.udp[0].local_addr().unwrap(), sockets.addresses[0]);
        assert_eq!(sockets.tcp[0].local_addr().unwrap(), sockets.addresses[0]);
    }

    #[tokio::test]
    async fn a_port_that_is_taken_for_udp_is_named() {
        let taken = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let error = Sockets::bind(&[address]).unwrap_err().to_string();
        assert!(error.contains(&address.to_string()), "{error}");
    }
}

//! Listening sockets.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Listens on every address. Where IPv6 does not exist on this machine, an IPv6 address is given up as long as another
/// one remains, and `[::]` becomes `0.0.0.0`.
///
/// # Errors
/// If an address is taken, or none is left.
pub fn listen(addresses: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for address in addresses {
        let bound = bind(*address).or_else(|error| match address {
            SocketAddr::V6(v6) if v6.ip().is_unspecified() && no_such_family(&error) => {
                bind((std::net::Ipv4Addr::UNSPECIFIED, v6.port()).into())
            }
            _ => Err(error),
        });
        match bound {
            Ok(listener) => listeners.push(listener),
            Err(error) if address.is_ipv6() && no_such_family(&error) && addresses.len() > 1 => {
                tracing::info!(%address, "No IPv6 here: not listening on it");
            }
            Err(error) => {
                return Err(io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")));
            }
        }
    }
    if listeners.is_empty() {
        return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "no address to listen on"));
    }
    Ok(listeners)
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        // `[::]` takes IPv4 too, whatever the machine's default is; other addresses are IPv6 alone.
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn no_such_family(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || error.raw_os_error() == Some(97)
}

/// The addresses that were really bound.
///
/// # Errors
/// If the system does not tell.
pub fn local(listeners: &[TcpListener]) -> io::Result<Vec<SocketAddr>> {
    listeners.iter().map(TcpListener::local_addr).collect()
}

/// Sets what every connection has: no delay, and keep-alive, so that a dead machine is noticed.
pub(super) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_of_zero_is_chosen_and_told() {
        let listeners = listen(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        assert_ne!(local(&listeners).unwrap()[0].port(), 0);
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_named() {
        let first = listen(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let address = local(&first).unwrap()[0];
        let error = listen(&[address]).unwrap_err().to_string();
        assert!(error.contains(&address.to_string()), "{error}");
    }
}

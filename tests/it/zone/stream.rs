//! The directory's DNS over TCP.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use super::*;

/// A message as it stands in a stream.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap();
    [&length.to_be_bytes()[..], message].concat()
}

async fn answer(stream: &mut TcpStream) -> Message {
    let read = async {
        let length = stream.read_u16().await.unwrap();
        let mut message = vec![0; length.into()];
        stream.read_exact(&mut message).await.unwrap();
        message
    };
    Message::from_vec(&timeout(PATIENCE, read).await.expect("no answer")).unwrap()
}

/// One question on a connection of its own.
pub(super) async fn once(address: SocketAddr, question: &[u8]) -> Message {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&framed(question)).await.unwrap();
    answer(&mut stream).await
}

#[tokio::test]
async fn what_is_too_long_for_a_datagram_comes_in_a_stream() {
    let directory = Directory::start(snapshot(&[("currency", 250)])).await;
    let answer = once(directory.address, &question(SRV, RecordType::SRV, None)).await;
    assert!(!answer.truncation);
    assert_eq!((answer.answers.len(), answer.additionals.len()), (250, 250));
}

#[tokio::test]
async fn questions_come_in_crowds_and_in_pieces() {
    let directory = Directory::start(snapshot(&[("currency", 3)])).await;
    let mut stream = TcpStream::connect(directory.address).await.unwrap();
    let question = framed(&question(SRV, RecordType::SRV, None));
    stream.write_all(&question.repeat(50)).await.unwrap();
    for _ in 0..50 {
        assert_eq!(answer(&mut stream).await.answers.len(), 3);
    }
    for byte in question {
        stream.write_all(&[byte]).await.unwrap();
        stream.flush().await.unwrap();
    }
    assert_eq!(answer(&mut stream).await.answers.len(), 3);
}

#[tokio::test]
async fn who_breaks_the_rules_is_left() {
    let directory = Directory::start(snapshot(&[("currency", 3)])).await;
    let whole = question(SRV, RecordType::SRV, None);
    let mut reply = whole.clone();
    reply[2] |= 0x80;
    for (what, bytes) in [
        ("an empty message", framed(&[])),
        ("no header", framed(b"GET / HTTP/1.1"[..8].as_ref())),
        ("an answer", framed(&reply)),
        ("half a message and no more", framed(&whole)[..20].to_vec()),
    ] {
        let mut stream = TcpStream::connect(directory.address).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect(what).unwrap();
        assert!(rest.is_empty(), "{what}");
    }
    let broken = once(directory.address, &whole[..20]).await;
    assert_eq!(broken.response_code, ResponseCode::FormErr);
}

/// A connection from one of this machine's many addresses, on which a question was answered; nothing if it was closed.
async fn rest(directory: &Directory, from: u8) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, from], 0))).unwrap();
    let mut stream = socket.connect(directory.address).await.unwrap();
    stream.write_all(&framed(&question(SRV, RecordType::SRV, None))).await.unwrap();
    let length = timeout(PATIENCE, stream.read_u16()).await.expect("no answer").ok()?;
    stream.read_exact(&mut vec![0; length.into()]).await.unwrap();
    Some(stream)
}

#[tokio::test]
async fn more_connections_than_there_is_room_for_wait_their_turn() {
    let directory = Directory::start(snapshot(&[("currency", 3)])).await;
    let mut idle = Vec::new();
    for from in 2..6 {
        for _ in 0..64 {
            idle.push(rest(&directory, from).await.unwrap());
        }
    }
    let question = question(SRV, RecordType::SRV, None);
    let mut next = Box::pin(once(directory.address, &question));
    assert!(timeout(Duration::from_millis(100), &mut next).await.is_err());
    idle.pop();
    assert_eq!(timeout(PATIENCE, next).await.unwrap().answers.len(), 3);
}

#[tokio::test]
async fn one_address_does_not_take_every_connection() {
    let directory = Directory::start(snapshot(&[("currency", 3)])).await;
    let mut idle = Vec::new();
    for _ in 0..64 {
        idle.push(rest(&directory, 2).await.unwrap());
    }
    for _ in 0..200 {
        assert!(rest(&directory, 2).await.is_none(), "it had its share");
    }
    assert!(rest(&directory, 3).await.is_some());
    idle.pop();
    eventually("its place", || rest(&directory, 2)).await;
}

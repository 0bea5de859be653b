//! What callers do at a door that is open to them, and how long it is borne.

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use hyper::service::service_fn;
use prometheus_client::encoding::text::encode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::pace::{IDLE, LEAVE, UNFINISHED};
use super::*;
use crate::drain::{Trigger, drain};
use crate::net::collect;
use crate::task;

const CAPACITY: Capacity =
    Capacity { places: Places { all: 4, each: 2 }, memory: 100_000, memory_each: 60_000 };
const HERE: [u8; 4] = [10, 0, 0, 1];

/// A door whose service reads each request whole and answers with as many bytes as its path says.
struct House {
    door: Door,
    drain: Drain,
    registry: Registry,
    _trigger: Trigger,
}

impl House {
    fn new() -> Self {
        let (metrics, mut registry) = (Metrics::default(), Registry::default());
        metrics.register(&mut registry);
        let (trigger, drain) = drain();
        Self { door: Door::new("test", CAPACITY, &metrics), drain, registry, _trigger: trigger }
    }

    /// A connection, and who serves it.
    fn connect(&self, address: [u8; 4]) -> (DuplexStream, AbortOnDropHandle<()>) {
        let (near, far) = duplex(1 << 20);
        let service = service_fn(|request: Request<Body>| async {
            let path = request.uri().path().trim_start_matches('/').to_owned();
            let status = match collect(request.into_body(), 1 << 20).await {
                Ok(_) => StatusCode::OK,
                Err(_) => StatusCode::BAD_REQUEST,
            };
            let body = Bytes::from(vec![b'x'; path.parse().unwrap_or_default()]);
            let mut response = Response::new(Body::new(Full::from(body)));
            *response.status_mut() = status;
            Ok::<_, Infallible>(response)
        });
        let (door, drain) = (self.door.clone(), self.drain.clone());
        let each = door.memory_each;
        let place = door.crowd.enter(address.into(), || Memory::new(each)).unwrap();
        let serving =
            task::spawn(async move { door.converse(&place, Accepted::new(far, service), drain).await });
        (near, serving)
    }

    async fn caller(&self, address: [u8; 4]) -> Caller {
        let (stream, serving) = self.connect(address);
        let (requests, connection) = h2::client::handshake(stream).await.unwrap();
        let driver = task::spawn(async move { connection.await.is_ok() });
        Caller { requests, driver, serving }
    }

    fn turned_away(&self, reason: &str) -> bool {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        text.contains(&format!(r#"dragoman_door_refusals_total{{door="test",reason="{reason}"}}"#))
    }
}

struct Caller {
    requests: SendRequest<Bytes>,
    driver: AbortOnDropHandle<bool>,
    serving: AbortOnDropHandle<()>,
}

impl Caller {
    /// Begins a request, and sends so much of its body.
    async fn begin(&self, path: &str, kind: &str, body: usize) -> (ResponseFuture, SendStream<Bytes>) {
        let request = Request::post(format!("https://a{path}")).header("content-type", kind).body(());
        let mut requests = self.requests.clone().ready().await.unwrap();
        let (response, mut sending) = requests.send_request(request.unwrap(), false).unwrap();
        sending.send_data(vec![b'x'; body].into(), false).unwrap();
        (response, sending)
    }

    /// Asks for so many bytes.
    async fn get(&self, size: usize) -> Response<RecvStream> {
        let (response, mut sending) = self.begin(&format!("/{size}"), "text/plain", 0).await;
        sending.send_data(Bytes::new(), true).unwrap();
        response.await.unwrap()
    }
}

fn said<'a>(response: &'a Response<RecvStream>, header: &str) -> &'a str {
    response.headers()[header].to_str().unwrap()
}

async fn length(response: Response<RecvStream>) -> usize {
    let (mut body, mut length) = (response.into_body(), 0);
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        length += piece.len();
    }
    length
}

#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_end_is_answered_when_its_time_is_up() {
    let house = House::new();
    let caller = house.caller(HERE).await;
    let started = Instant::now();
    let (response, _sending) = caller.begin("/1", "text/plain", 1000).await;
    assert_eq!(response.await.unwrap().status(), 408);
    assert_eq!(started.elapsed().as_secs(), REQUEST.as_secs());
    let (response, _sending) = caller.begin("/1", "application/grpc+proto", 1000).await;
    let response = response.await.unwrap();
    assert_eq!((response.status(), said(&response, "grpc-status")), (StatusCode::OK, "4"));
    assert_eq!(house.door.memory.free(), CAPACITY.memory);
    assert!(house.turned_away("slow"));
    assert_eq!(length(caller.get(10).await).await, 10, "the connection goes on");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_takes_ends_its_connection_and_gives_its_memory_back() {
    let house = House::new();
    let (caller, started) = (house.caller(HERE).await, Instant::now());
    let mut answers = Vec::new();
    for _ in 0..3 {
        let answer = caller.get(30_000).await;
        assert_eq!(answer.status(), StatusCode::OK);
        answers.push(answer);
    }
    sleep(Duration::from_secs(1)).await;
    // Two answers fit into what a caller of HTTP/2 has to let come.
    assert_eq!(house.door.memory.free(), CAPACITY.memory - 30_000);
    caller.serving.await.unwrap();
    assert_eq!(started.elapsed().as_secs(), UNFINISHED.as_secs());
    assert_eq!(house.door.memory.free(), CAPACITY.memory);
    assert!(house.turned_away("stuck"));
    drop(answers);
}

#[tokio::test(start_paused = true)]
async fn what_is_unfinished_takes_no_more_memory_than_there_is_and_leaves_some_to_other_addresses() {
    let house = House::new();
    let (caller, other) = (house.caller(HERE).await, house.caller([10, 0, 0, 2]).await);
    let mut unfinished = Vec::new();
    for _ in 0..2 {
        unfinished.push(caller.begin("/1", "text/plain", 25_000).await);
    }
    sleep(Duration::from_secs(1)).await;
    let (refused, _sending) = caller.begin("/1", "text/plain", 25_000).await;
    let refused = refused.await.unwrap();
    assert_eq!((refused.status().as_u16(), said(&refused, "retry-after")), (503, "1"));
    let (refused, _sending) = caller.begin("/1", "application/grpc", 25_000).await;
    assert_eq!(refused.await.unwrap().headers()["grpc-status"], "14");
    assert_eq!(caller.get(25_000).await.status(), 503, "there is no memory for an answer either");
    assert!(house.turned_away("busy"));
    assert_eq!(length(other.get(25_000).await).await, 25_000);
    for (response, mut sending) in unfinished {
        sending.send_data(Bytes::new(), true).unwrap();
        assert_eq!(response.await.unwrap().status(), 200);
    }
    assert_eq!(length(caller.get(25_000).await).await, 25_000);
    assert_eq!(length(caller.get(CAPACITY.memory_each + 1).await).await, CAPACITY.memory_each + 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_rests_is_told_to_leave_and_then_ended() {
    let house = House::new();
    let (caller, started) = (house.caller(HERE).await, Instant::now());
    sleep(IDLE - Duration::from_secs(1)).await;
    assert_eq!(length(caller.get(10).await).await, 10);
    assert!(caller.driver.await.unwrap(), "it ended in order");
    assert_eq!(started.elapsed().as_secs(), (IDLE + IDLE).as_secs() - 1);

    // Who says nothing, or the half of it, or does not hear.
    for said in [&b""[..], b"PRI * HTTP/2.0\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"] {
        let ((mut stream, serving), started) = (house.connect(HERE), Instant::now());
        stream.write_all(said).await.unwrap();
        serving.await.unwrap();
        assert!(started.elapsed() <= IDLE + LEAVE, "{:?}", started.elapsed());
        drop(stream.read_to_end(&mut Vec::new()).await);
    }
}

#[tokio::test(start_paused = true)]
async fn the_head_of_an_http_1_request_comes_soon_or_not_at_all() {
    let house = House::new();
    let ((mut stream, serving), started) = (house.connect(HERE), Instant::now());
    stream.write_all(b"POST /1 HTTP/1.1\r\nhost: a\r\n").await.unwrap();
    serving.await.unwrap();
    assert_eq!(started.elapsed(), Duration::from_secs(10));
    let (mut stream, _serving) = house.connect(HERE);
    let head = format!("POST /1 HTTP/1.1\r\nhost: a\r\nlong: {}\r\n\r\n", "x".repeat(40 << 10));
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

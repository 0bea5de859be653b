//! Streams: how servers write them, and how clients learn that they are over.

/// Following a task that is there already.
mod resubscribing;

use std::time::Duration;

use dragoman::a2a::Operation as O;
use tokio::time::timeout;

use crate::harness::dialect::{PAIRS, Said, Talk, V0_3, V1_0, speak};
use crate::harness::json::{canonical, value};

const STREAM: O = O::SendStreamingMessage;

/// Every way in which servers write the same two events, `A` and `B`.
const WAYS: [&str; 12] = [
    "data: A\n\ndata: B\n\n",
    "data: A\r\n\r\ndata: B\r\n\r\n",
    "data: A\r\rdata: B\r\r",
    "data:A\n\ndata:B\n\n",
    ": SSE stream started\n\ndata: A\nid: 0\n\ndata: B\nid: 1\n\n",
    "id: 6c2b1a8e\ndata: A\n\nid: 6c2b1a8f\ndata: B\n\n",
    ": ping - 2026-01-02 03:04:05\r\n\r\ndata: A\r\n\r\n: ping\r\n\r\ndata: B\r\n\r\n",
    ": keep-alive\ndata: A\n: keep-alive\n\nevent: message\nretry: 10\ndata: B\n\n",
    "data: A\n\n\n\n\ndata: B",
    "data: A\n\ndata: B\n",
    "event: message\r\ndata: A\r\n\r\nevent: message\r\ndata: B\r\n",
    "\u{feff}data: A\n\ndata: B\n\n",
];

#[tokio::test]
async fn every_servers_way_to_write_events_is_read_and_written_in_the_one_that_all_clients_read() {
    for pair in PAIRS {
        let mut talk = Talk::start(pair).await;
        for way in WAYS {
            for broken in [false, true] {
                let (caller, request) = talk.send(STREAM).await;
                let mut stream = request.stream().await;
                // JSON may go on in the next line wherever white space may stand.
                let line_end = if way.contains("\r\n") { "\r\n" } else { "\n" };
                let space = if broken { format!("{line_end}data: ") } else { " ".to_owned() };
                let member = |said| format!("\"result\":{space}{}", talk.agent(said));
                let first = stream.envelope(&member(Said::Task("working")));
                let second = stream.envelope(&member(Said::Update("completed", true)));
                let text = way.replace('A', &first).replace('B', &second);
                stream.raw(text.as_bytes()).await.unwrap();
                stream.end().await;
                let mut caller = caller.reading().await;
                // `event` insists on one line of data, and nothing else.
                for expected in [Said::Task("working"), Said::Update("completed", true)] {
                    let result = caller.result().await;
                    assert_eq!(canonical(&result), canonical(&talk.caller(expected)), "{talk}: {way:?}");
                }
                assert_eq!(caller.event().await, None, "{talk}: {way:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_error_in_a_stream_is_a_plain_event_and_the_last_whatever_it_was_called() {
    for pair in PAIRS {
        let mut talk = Talk::start(pair).await;
        for (before, after) in [("event: error\r\n", "\r\n\r\n"), ("event: error\n", ""), ("", "\n\n")] {
            for begun in [false, true] {
                let (caller, request) = talk.send(STREAM).await;
                let mut stream = request.stream().await;
                if begun {
                    stream.event(&talk.agent(Said::Task("working"))).await;
                }
                let error = stream.envelope(r#""error":{"code":-32050,"message":"m"}"#);
                stream.raw(format!("{before}data: {error}{after}").as_bytes()).await.unwrap();
                stream.end().await;
                let mut caller = caller.reading().await;
                if begun {
                    caller.result().await;
                }
                let error = caller.last_error().await;
                assert_eq!(canonical(&error), r#"{"code":-32050,"message":"m"}"#, "{talk}");
            }
        }
    }
}

#[tokio::test]
async fn a_plain_answer_to_a_stream_is_its_only_event() {
    for pair in PAIRS {
        let mut talk = Talk::start(pair).await;
        for said in [Said::Message("x"), Said::Task("completed"), Said::Task("input-required")] {
            let (caller, request) = talk.send(STREAM).await;
            request.result(&talk.agent(said)).await;
            let mut caller = caller.reading().await;
            assert_eq!(caller.head.header("content-type"), Some("text/event-stream"));
            assert_eq!(canonical(&caller.result().await), canonical(&talk.caller(said)), "{talk}");
            assert_eq!(caller.event().await, None);
        }
    }
}

#[tokio::test]
async fn a_stream_without_an_event_is_told_as_one() {
    for pair in PAIRS {
        let mut talk = Talk::start(pair).await;
        for text in ["", ": ping\n\n", "event: end\n\n"] {
            let (caller, request) = talk.send(STREAM).await;
            let mut stream = request.stream().await;
            if !text.is_empty() {
                stream.raw(text.as_bytes()).await.unwrap();
            }
            stream.end().await;
            let error = value(&caller.reading().await.last_error().await);
            assert_eq!(error["code"], -32603, "{talk}");
            let said = if talk.caller == V0_3 { &error["message"] } else { &error["data"][0]["reason"] };
            assert!(said.as_str().unwrap().starts_with("STREAM_BROKEN"), "{talk}: {error}");
        }
    }
}

#[tokio::test]
async fn a_silent_stream_is_kept_alive_in_0_3_before_and_after_it_begins() {
    let mut talk = Talk::start((V0_3, V0_3)).await;
    let (unanswered, waiting) = talk.send(STREAM).await;
    let (begun, request) = talk.send(STREAM).await;
    let mut stream = request.stream().await;
    stream.event(&talk.agent(Said::Update("input-required", false))).await;
    let mut begun = begun.reading().await;
    begun.result().await;
    // Many callers are written on httpx, which gives up after 5 seconds.
    let signs = async { tokio::join!(unanswered.reading(), begun.block()) };
    let (mut unanswered, comment) = timeout(Duration::from_secs(5), signs).await.unwrap();
    assert_eq!(comment.as_deref(), Some(": keep-alive"));
    assert_eq!((unanswered.status, unanswered.head.header("content-type")), (200, Some("text/event-stream")));
    waiting.result(&talk.agent(Said::Message("late"))).await;
    assert_eq!(canonical(&unanswered.result().await), canonical(&talk.caller(Said::Message("late"))));
}

/// Whether an event says that it is the last one.
fn is_final(event: &str) -> bool {
    value(event)["final"].as_bool().unwrap()
}

#[tokio::test]
async fn the_last_event_of_an_agent_of_1_0_is_said_to_be_the_last_in_0_3() {
    let mut talk = Talk::start((V0_3, V1_0)).await;
    for state in ["input-required", "auth-required", "completed", "failed", "canceled", "rejected"] {
        let (caller, request) = talk.send(STREAM).await;
        let mut stream = request.stream().await;
        stream.event(&talk.agent(Said::Update("working", false))).await;
        stream.last(&talk.agent(Said::Update(state, true))).await;
        let mut caller = caller.reading().await;
        assert!(!is_final(&caller.result().await));
        assert_eq!(canonical(&caller.result().await), canonical(&talk.caller(Said::Update(state, true))));
        assert_eq!(caller.event().await, None);
    }
}

#[tokio::test]
async fn an_event_that_others_follow_is_not_said_to_be_the_last() {
    let mut talk = Talk::start((V0_3, V1_0)).await;
    for state in ["input-required", "auth-required"] {
        let (caller, request) = talk.send(STREAM).await;
        let mut stream = request.stream().await;
        let mut caller = caller.reading().await;
        // One follows at once; one keeps its caller waiting, who hears of it all the same.
        stream.event(&talk.agent(Said::Update(state, false))).await;
        stream.event(&talk.agent(Said::Update("working", false))).await;
        for state in [state, "working"] {
            let expected = talk.caller(Said::Update(state, false));
            assert_eq!(canonical(&caller.result().await), canonical(&expected));
        }
        stream.event(&talk.agent(Said::Update(state, false))).await;
        assert_eq!(canonical(&caller.result().await), canonical(&talk.caller(Said::Update(state, false))));
        stream.event(&talk.agent(Said::Update(state, false))).await;
        stream.error(r#"{"code":-32050,"message":"m"}"#).await;
        assert!(!is_final(&caller.result().await));
        assert!(caller.last_error().await.contains("-32050"));
    }
}

#[tokio::test]
async fn a_task_that_is_over_is_told_at_once() {
    let mut talk = Talk::start((V0_3, V1_0)).await;
    let (caller, request) = talk.send(STREAM).await;
    let mut stream = request.stream().await;
    let mut caller = caller.reading().await;
    // The agent leaves the stream open: nobody is to wait for its end.
    stream.event(&talk.agent(Said::Update("completed", true))).await;
    assert!(is_final(&caller.result().await));
}

#[tokio::test]
async fn what_an_agent_of_0_3_says_of_the_last_event_is_what_its_caller_hears() {
    let mut talk = Talk::start((V0_3, V0_3)).await;
    for (state, last) in
        [("working", true), ("input-required", true), ("input-required", false), ("completed", true)]
    {
        let (caller, request) = talk.send(STREAM).await;
        request.stream().await.last(&speak(V0_3, Said::Update(state, last))).await;
        let mut caller = caller.reading().await;
        assert_eq!(canonical(&caller.result().await), canonical(&speak(V0_3, Said::Update(state, last))));
        assert_eq!(caller.event().await, None);
    }
}

#[tokio::test]
async fn a_task_that_is_over_with_its_stream_is_told_so_whatever_the_agent_says() {
    let mut talk = Talk::start((V0_3, V0_3)).await;
    let (caller, request) = talk.send(STREAM).await;
    let mut stream = request.stream().await;
    let mut caller = caller.reading().await;
    // Python agents say once more that a task was cancelled.
    stream.event(&speak(V0_3, Said::Update("canceled", false))).await;
    stream.last(&speak(V0_3, Said::Update("canceled", false))).await;
    assert!(!is_final(&caller.result().await));
    // Clients in Java wait for nothing but this.
    assert!(is_final(&caller.result().await));
    assert_eq!(caller.event().await, None);
}

#[tokio::test]
async fn an_old_agent_that_says_nothing_of_the_last_event_is_understood_by_its_state() {
    let mut talk = Talk::start((V0_3, V0_3)).await;
    for (state, last) in [("working", false), ("input-required", true), ("completed", true)] {
        let (caller, request) = talk.send(STREAM).await;
        let mute = speak(V0_3, Said::Update(state, last)).replace(&format!(r#","final":{last}"#), "");
        request.stream().await.last(&mute).await;
        assert_eq!(is_final(&caller.reading().await.result().await), last, "{state}");
    }
}

#[tokio::test]
async fn a_stream_is_over_after_its_last_event_even_if_the_agent_leaves_it_open() {
    for caller in [V0_3, V1_0] {
        let mut talk = Talk::start((caller, V0_3)).await;
        let (caller, request) = talk.send(STREAM).await;
        let mut stream = request.stream().await;
        stream.event(&talk.agent(Said::Task("working"))).await;
        stream.event(&talk.agent(Said::Update("input-required", true))).await;
        let mut caller = caller.reading().await;
        caller.result().await;
        assert_eq!(
            canonical(&caller.result().await),
            canonical(&talk.caller(Said::Update("input-required", true)))
        );
        assert_eq!(caller.event().await, None, "{talk}");
        stream.left().await;
    }
}

//! Envelopes in both directions.

use super::*;

const LIMIT: usize = 1 << 20;

fn rejected(text: &str) -> (String, i64) {
    let rejected = read_request(text.as_bytes(), LIMIT).unwrap_err();
    (rejected.id.as_str().to_owned(), rejected.fault.code())
}

#[test]
fn members_come_in_any_order_and_ids_keep_their_spelling() {
    for (text, id) in [
        (r#"{"jsonrpc":"2.0","id":1.0,"method":"GetTask","params":{"id":"t"}}"#, "1.0"),
        (
            r#"{"params":{"id":"t"},"x":[{}],"method":"GetTask","id":"a\u0062","jsonrpc":"2.0"}"#,
            r#""a\u0062""#,
        ),
        (r#" {"jsonrpc":"2.0","method":"GetTask","params":{"id":"t"},"id":null} "#, "null"),
        (r#"{"jsonrpc":"2.0","method":"GetTask","params":{"id":"t"}}"#, "null"),
    ] {
        let request = read_request(text.as_bytes(), LIMIT).unwrap();
        assert_eq!((request.id.as_str(), request.operation), (id, Operation::GetTask));
        assert_eq!(request.body, b"\x12\x01t");
    }
}

#[test]
fn each_mistake_has_its_code_and_the_id_if_it_can_be_read() {
    let long = format!(r#"{{"jsonrpc":"2.0","method":"GetTask","id":"{}"}}"#, "x".repeat(ID_MAX));
    for (text, id, code) in [
        ("", "null", -32700),
        ("{", "null", -32700),
        ("\u{feff}{}", "null", -32700),
        (r#"{"jsonrpc":"2.0","method":"GetTask","params":{"id":"t"},"id":1"#, "null", -32700),
        (r#"{"jsonrpc":"2.0","method":"GetTask","params":{"id":7},"id":1} x"#, "null", -32700),
        ("[]", "null", -32600),
        ("7", "null", -32600),
        (r#"{"id":7}"#, "7", -32600),
        (r#"{"jsonrpc":"1.0","id":7,"method":"GetTask"}"#, "7", -32600),
        (r#"{"jsonrpc":"2.0","id":7,"method":7}"#, "7", -32600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"GetTask"}"#, "null", -32600),
        (&long, "null", -32600),
        (r#"{"jsonrpc":"2.0","id":7,"method":"tasks/list","params":{},"method":"SendMessage"}"#, "7", -32600),
        (
            r#"{"jsonrpc":"2.0","id":7,"method":"GetTask","params":{"id":"t"},"params":{"id":"u"}}"#,
            "7",
            -32600,
        ),
        (r#"{"jsonrpc":"2.0","id":7,"method":"GetAgentCard"}"#, "7", -32601),
        (r#"{"jsonrpc":"2.0","id":7,"method":"getTask"}"#, "7", -32601),
        (r#"{"jsonrpc":"2.0","id":7,"method":"GetTask"}"#, "7", -32602),
        (r#"{"jsonrpc":"2.0","method":"GetTask","params":[],"id":"late"}"#, "\"late\"", -32602),
        (r#"{"jsonrpc":"2.0","method":"GetTask","params":{"id":7},"id":"late"}"#, "\"late\"", -32602),
    ] {
        assert_eq!(rejected(text), (id.to_owned(), code), "{text}");
    }
}

#[test]
fn an_agents_error_is_written_exactly_as_it_was_read() {
    for text in [
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"no such \"task\"","data":[{"@type":"x"},1.0]}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":4711,"message":"","data":null}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"oh"}}"#,
    ] {
        let Outcome::Error(fault) =
            read_reply(text.as_bytes(), Form::V1_0, Operation::GetTask, LIMIT).unwrap()
        else {
            panic!("{text}")
        };
        let mut out = Vec::new();
        write_fault(&Id("1".into()), Dialect::V1_0, &fault, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }
}

#[test]
fn answers_are_read_leniently_but_must_answer() {
    let read = |text: &str, operation| read_reply(text.as_bytes(), Form::V1_0, operation, LIMIT);
    for text in [r#"{"result":null}"#, "{}", r#"{"result":{},"error":null}"#] {
        for operation in
            [Operation::DeleteTaskPushNotificationConfig, Operation::ListTaskPushNotificationConfigs]
        {
            let read = read(text, operation);
            assert!(matches!(read, Ok(Outcome::Result(wire)) if wire.is_empty()), "{text}");
        }
    }
    assert_eq!(read("{}", Operation::GetTask).unwrap_err().to_string(), "neither result nor error");
    let error = read(r#"{"result":{"status":7}}"#, Operation::GetTask).unwrap_err();
    assert_eq!(error.path(), "result.status");
    assert!(matches!(read(r#"{"result":{"status":{}}}"#, Operation::GetTask), Ok(Outcome::Result(_))));
}

#[test]
fn our_faults_say_where_and_when() {
    let fault = Fault::new(Reason::RateLimited, "slow down")
        .violation("a.b", "wrong")
        .retry_after(std::time::Duration::from_millis(1500));
    let mut out = Vec::new();
    write_fault(&Id::null(), Dialect::V1_0, &fault, &mut out).unwrap();
    let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(read["error"]["code"], -32603);
    assert_eq!(read["error"]["data"][0]["reason"], "RATE_LIMITED");
    assert_eq!(read["error"]["data"][0]["domain"], "dragoman.dev");
    assert_eq!(read["error"]["data"][1]["fieldViolations"][0]["field"], "a.b");
    assert_eq!(read["error"]["data"][2]["retryDelay"], "1.5s");
}

#[test]
fn what_an_agent_said_in_grpc_has_its_reason_first() {
    let own = r#"{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"TASK_NOT_FOUND","domain":"a2a-protocol.org"}"#;
    let other = r#"{"@type":"x/a.B","value":""}"#;
    for (data, written) in [
        (None, format!("[{own}]")),
        (Some(format!("[{other}]")), format!("[{own},{other}]")),
        (Some(format!("[{other},{own}]")), format!("[{other},{own}]")),
    ] {
        let data = data.map(|text| read_value(&mut Scanner::new(&text), LIMIT).unwrap().into());
        let error = AgentError { code: -32001, data, dialect: Dialect::V1_0 };
        let fault = Fault::of_agent_in_grpc(error, "no", tonic::Code::NotFound, Reason::TaskNotFound);
        let mut out = Vec::new();
        write_fault(&Id("1".into()), Dialect::V1_0, &fault, &mut out).unwrap();
        let expected = format!(
            r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":-32001,"message":"no","data":{written}}}}}"#
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

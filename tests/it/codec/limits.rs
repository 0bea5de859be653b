//! Depth and size, to the last message and byte.

use dragoman::codec::wire::append;
use dragoman::codec::{Cause, Reading, read};
use dragoman::proto;
use prost::Message as _;

use super::{LIMIT, json, table, wire};

/// `{"data":[[…1…]]}` with so many lists.
fn lists(count: usize, innermost: &str) -> String {
    format!(r#"{{"data":{}{innermost}{}}}"#, "[".repeat(count), "]".repeat(count))
}

/// `{"data":{"k":{"k":…1…}}}` with so many objects.
fn objects(count: usize, innermost: &str) -> String {
    format!(r#"{{"data":{}{innermost}{}}}"#, r#"{"k":"#.repeat(count), "}".repeat(count))
}

/// A message of one part, which stands two messages deep.
fn request(part: &str) -> String {
    format!(r#"{{"message":{{"messageId":"m","role":1,"parts":[{part}]}}}}"#)
}

/// Checks that both directions and prost agree on whether a text is too deep.
#[track_caller]
fn check_depth(message: &str, text: &str, fits: bool) {
    match wire(message, text) {
        Ok(wire) => {
            assert!(fits, "read although too deep");
            assert_eq!(json(message, &wire).unwrap(), text);
            let decoded = match message {
                "Part" => proto::Part::decode(&*wire).map(drop),
                _ => proto::SendMessageRequest::decode(&*wire).map(drop),
            };
            assert!(decoded.is_ok(), "{decoded:?}");
        }
        Err(error) => {
            assert_eq!(error.cause(), &Cause::TooDeep);
            assert!(!fits, "{error}");
        }
    }
}

#[test]
fn as_many_lists_and_objects_nest_as_the_design_says() {
    // Part and the outermost Value are messages 2 and 3; a list adds two more, an object three.
    let deepest = request(&lists(48, "1")).replace(":1,", r#":"ROLE_USER","#);
    check_depth("SendMessageRequest", &deepest, true);
    check_depth("SendMessageRequest", &request(&lists(49, "1")), false);
    let deepest = request(&objects(32, "1")).replace(":1,", r#":"ROLE_USER","#);
    check_depth("SendMessageRequest", &deepest, true);
    check_depth("SendMessageRequest", &request(&objects(33, "1")), false);
}

#[test]
fn one_hundred_messages_nest_and_no_more() {
    // The Value of `data` is message 1, so 33 objects make 100.
    check_depth("Part", &objects(33, "1"), true);
    check_depth("Part", &objects(33, "[]"), false);
    check_depth("Part", &objects(34, "1"), false);
    // A member that the schema does not know is a Struct, its entry and a Value: 1, 2, 3.
    let unknown = |lists: usize| format!(r#"{{"x":{}{}}}"#, "[".repeat(lists), "]".repeat(lists));
    check_depth("Part", &unknown(49), true);
    check_depth("Part", &unknown(50), false);
}

#[test]
fn the_text_of_a_number_takes_one_more_level_as_prost_skips_it() {
    check_depth("Part", &objects(33, "1"), true);
    check_depth("Part", &objects(33, "1.0"), false);
    check_depth("Part", &objects(32, "1.0"), true);
}

/// A Part with a Value in so many lists, on the wire.
fn part(lists: usize, value: &[u8]) -> Vec<u8> {
    let nested = |number: u32, inner: &[u8]| {
        let mut outer = Vec::new();
        append(&mut outer, number, inner);
        outer
    };
    let value = (0..lists).fold(value.to_vec(), |value, _| nested(6, &nested(1, &value)));
    nested(4, &value)
}

#[test]
fn what_is_too_deep_for_prost_on_the_wire_is_refused() {
    const TRUE: &[u8] = b"\x20\x01";
    // An object with one entry whose Value is three messages deeper: the number 1, and the same as `1.0`.
    const ONE: &[u8] = b"\x2a\x10\x0a\x0e\x0a\x01k\x12\x09\x11\0\0\0\0\0\0\xf0\x3f";
    const ONE_POINT_ZERO: &[u8] =
        b"\x2a\x17\x0a\x15\x0a\x01k\x12\x10\x11\0\0\0\0\0\0\xf0\x3f\xda\xd7\x19\x031.0";
    for (lists, value, fits) in [
        (49, TRUE, true),
        // The empty list is message 100, its first element would be 101.
        (49, b"\x32\0", true),
        (49, b"\x32\x02\x0a\0", false),
        (50, TRUE, false),
        (48, ONE, true),
        // prost counts a field that it skips as another level.
        (48, ONE_POINT_ZERO, false),
        (47, ONE_POINT_ZERO, true),
    ] {
        let wire = part(lists, value);
        let theirs = proto::Part::decode(&*wire);
        assert_eq!(theirs.is_ok(), fits, "{lists} {value:x?} {theirs:?}");
        let ours = json("Part", &wire).map_err(|error| error.cause().clone());
        assert_eq!(ours.is_ok(), fits, "{lists} {value:x?} {ours:?}");
        assert!(fits || ours == Err(Cause::TooDeep), "{ours:?}");
    }
}

#[test]
fn depth_that_only_an_attacker_sends_is_refused_without_harm() {
    assert_eq!(json("Part", &part(5_000, &[])).unwrap_err().cause(), &Cause::TooDeep);
    for text in [lists(100_000, ""), objects(100_000, "1"), format!(r#"{{"x":{}"#, "[".repeat(1_000_000))] {
        assert_eq!(wire("Part", &text).unwrap_err().cause(), &Cause::TooDeep);
    }
}

#[test]
fn the_canonical_form_may_have_exactly_as_many_bytes_as_the_limit() {
    for text in [
        r#"{"text":"exactly"}"#.to_owned(),
        r#"{"raw":"AAAAAAAA"}"#.to_owned(),
        r#"{"raw":"_-_-"}"#.to_owned(),
        r#"{"metadata":{}}"#.to_owned(),
        r#"{"data":1}"#.to_owned(),
        r#"{"data":1.0}"#.to_owned(),
        r#"{"data":null}"#.to_owned(),
        r#"{"data":false}"#.to_owned(),
        r#"{"unknown":{}}"#.to_owned(),
        // The length of the message takes another byte when it ends.
        format!(r#"{{"data":"{}"}}"#, "x".repeat(126)),
        format!(r#"{{"data":[{}0]}}"#, "0,".repeat(2000)),
        lists(30, &format!(r#""{}""#, "x".repeat(100))),
    ] {
        let size = wire("Part", &text).unwrap().len();
        let within = |limit| read(table("Part"), &text, Reading::Reply, limit);
        assert_eq!(within(size).map(|wire| wire.len()), Ok(size), "{text}");
        for limit in (0..size.min(200)).chain([size - 1]) {
            let refused = within(limit).map_err(|error| error.cause().clone());
            assert_eq!(refused, Err(Cause::TooLarge { limit }), "{text}");
        }
    }
}

#[test]
fn small_numbers_stop_where_they_outgrow_the_limit() {
    // Two bytes of text become 11 on the wire.
    let text = lists(1, &"0,".repeat(LIMIT / 11 + 1)).replace(",]", "]");
    assert!(text.len() < LIMIT / 5);
    assert_eq!(wire("Part", &text).unwrap_err().cause(), &Cause::TooLarge { limit: LIMIT });
}

#[test]
fn an_error_shows_the_beginning_of_a_long_name() {
    let error = wire("Part", &format!(r#"{{"{}":{{"short":1e400}}}}"#, "é".repeat(100_000))).unwrap_err();
    assert_eq!(error.path(), format!("{}….short", "é".repeat(64)));
}

#[test]
fn many_keys_of_a_map_are_not_compared_with_each_other() {
    let mut wire = Vec::new();
    for key in 0..100_000 {
        let mut entry = Vec::new();
        append(&mut entry, 1, key.to_string().as_bytes());
        append(&mut wire, 1, &entry);
    }
    // Comparing each with each takes minutes.
    assert_eq!(json("SecurityRequirement", &wire).unwrap().matches("{}").count(), 100_000);
}

//! Private fields as an attacker would write them: nothing comes out that looks like a field and is none, and no text that
//! is not the number it stands beside.

use dragoman::codec::wire::append;
use dragoman::codec::{CARRIED, EXACT_NUMBER};

use super::json;

const TRUE: &[u8] = b"\x20\x01";

fn text(text: &str) -> Vec<u8> {
    field(3, text.as_bytes())
}

fn field(number: u32, payload: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    append(&mut wire, number, payload);
    wire
}

/// Field 52602 with one member.
fn carried(name: &str, value: &[u8]) -> Vec<u8> {
    field(CARRIED, &field(1, &[field(1, name.as_bytes()), field(2, value)].concat()))
}

/// A Part whose data is a number with a text beside it.
fn number(number: f64, text: &str) -> Vec<u8> {
    field(4, &[&[0x11], &number.to_le_bytes()[..], &field(EXACT_NUMBER, text.as_bytes())].concat())
}

#[track_caller]
fn check(message: &str, wire: &[Vec<u8>], expected: Result<&str, &str>) {
    let written = json(message, &wire.concat()).map_err(|error| error.to_string());
    assert_eq!(written.as_deref().map_err(String::as_str), expected);
}

#[test]
fn a_carried_name_is_no_fields_name_in_any_case() {
    for name in
        ["taskId", "task_id", "TASKID", "Task_ID", "ta\u{17f}kId", "tas\u{212a}_id", "parts", "role_", "x"]
    {
        let error = format!("{name}: carried, but Message has a field of that name");
        let expected = match name {
            "role_" | "x" => Ok(format!(r#"{{"{name}":true,"messageId":"","parts":[]}}"#)),
            _ => Err(error),
        };
        let expected = expected.as_deref().map_err(String::as_str);
        check("Message", &[carried(name, TRUE)], expected);
        // Also where the field itself is there, and where the message comes in pieces.
        if expected.is_err() {
            check("Message", &[field(3, b"t"), carried(name, TRUE)], expected);
            check(
                "Message",
                &[field(3, b"t"), carried(name, TRUE), field(1, b"a"), field(3, b"u")],
                expected,
            );
        }
    }
}

#[test]
fn an_enum_is_carried_once_by_its_own_name_with_a_text_that_is_none_of_its_values() {
    let refused = |name: &str| format!("{name}: carried, but TaskStatus has a field of that name");
    check("TaskStatus", &[carried("state", &text("LATER"))], Ok(r#"{"state":"LATER"}"#));
    check("TaskStatus", &[carried("state", &text("TASK_STATE_WORKING"))], Err(&refused("state")));
    check("TaskStatus", &[carried("State", &text("LATER"))], Err(&refused("State")));
    check("TaskStatus", &[carried("state", TRUE)], Err(&refused("state")));
    check("TaskStatus", &[carried("state", b"")], Err(&refused("state")));
    let twice = [carried("state", &text("LATER")), carried("state", &text("LAST"))];
    check("TaskStatus", &twice, Err(&refused("state")));
    for beside in [vec![0x08, 2], vec![0x08, 0]] {
        let both = [carried("state", &text("LATER")), beside.clone()];
        check("TaskStatus", &both, Err("state: carried beside its field"));
        check("TaskStatus", &[beside, both[0].clone()], Err("state: carried beside its field"));
    }
    let inside = [field(3, &carried("state", &text("TASK_STATE_WORKING")))];
    check("Task", &inside, Err(&format!("status.{}", refused("state"))));
}

#[test]
fn occurrences_of_carried_members_add_up_and_duplicates_travel() {
    let members = [carried("a", TRUE), field(1, b"text"), carried("b", b"\x08\0"), carried("a", &text("2"))];
    check("Part", &members, Ok(r#"{"a":true,"text":"text","b":null,"a":"2"}"#));
    check("Part", &[field(CARRIED, b"")], Ok("{}"));
}

#[test]
fn what_only_0_3_can_say_stays_on_the_wire() {
    let only = field(52_604, &field(1, &[field(1, b"kind"), field(2, TRUE)].concat()));
    check("Part", &[only.clone(), field(1, b"t"), only], Ok(r#"{"text":"t"}"#));
}

#[test]
fn the_text_of_a_number_is_that_number_in_jsons_grammar() {
    for exact in ["1.0", "1", "1e0", "10E-1", "1.00000000000000000000000001", "100000000000000000e-17"] {
        check("Part", &[number(1.0, exact)], Ok(&format!(r#"{{"data":{exact}}}"#)));
    }
    let refused = Err("data: the text of a number that is not that number");
    for exact in
        ["", "2", "-1", "01", "+1", " 1", "1 ", "1.", "1,\"x\":1", "0x1", "1_0", "NaN", "one", "\u{661}"]
    {
        check("Part", &[number(1.0, exact)], refused);
    }
    check("Part", &[number(0.0, "-0")], refused);
    check("Part", &[number(-0.0, "0")], refused);
    check("Part", &[number(f64::INFINITY, "1e400")], refused);
    check("Part", &[number(f64::NAN, "NaN")], refused);
    for nothing in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
        let wire = field(4, &[&[0x11], &nothing.to_le_bytes()[..]].concat());
        check("Part", &[wire], Err("data: JSON has no infinity and no NaN"));
    }
    for value in [TRUE.to_vec(), text("1"), Vec::new(), b"\x08\0".to_vec(), b"\x32\0".to_vec()] {
        let beside = field(4, &[value, field(EXACT_NUMBER, b"1")].concat());
        check("Part", &[beside], Err("data: the text of a number beside a value that is none"));
    }
}

#[test]
fn what_is_no_protobuf_is_refused_where_it_is() {
    let wrong = |wire: &[u8]| json("Task", wire).unwrap_err().to_string();
    assert_eq!(wrong(b"\x0a"), "not protobuf: cut off within a number");
    assert_eq!(wrong(b"\x0a\x05ab"), "not protobuf: cut off within a field");
    assert_eq!(wrong(b"\x08\x01"), "id: not protobuf: a field has another wire type than its schema");
    assert_eq!(wrong(b"\x0a\x01\xff"), "id: not protobuf: a string is not UTF-8");
    assert_eq!(
        wrong(b"\x1a\x02\x1a\x00\x1a\x02\x0a\x00"),
        "status.state: not protobuf: a field has another wire type than its schema"
    );
    assert_eq!(
        wrong(b"\x1a\x04\x1a\x02\x10\x7f\x1a\x06\x1a\x04\x08\x80\x80\x80"),
        "status.timestamp: not protobuf: cut off within a number"
    );
    assert_eq!(
        wrong(&[0x1a, 8, 0x1a, 6, 0x10, 0x80, 0x94, 0xeb, 0xdc, 3]),
        "status.timestamp: not protobuf: a timestamp outside the years 1 to 9999"
    );
    assert_eq!(wrong(&field(CARRIED, b"\x0a")), "not protobuf: cut off within a number");
}

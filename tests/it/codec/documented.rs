//! The worked examples of `docs/wire.md`: a message's JSON, and its bytes in both directions.

use super::{json, wire};

const PAGE: &str = include_str!("../../../docs/wire.md");

#[test]
fn the_examples_of_the_wire_page_are_right() {
    let mut count = 0;
    for block in PAGE.split("```wire\n").skip(1) {
        let (head, bytes) = block.split("```").next().unwrap().split_once('\n').unwrap();
        let (message, text) = head.split_once(' ').unwrap();
        let bytes = bytes.lines().filter_map(|line| line.split('#').next());
        let bytes: Vec<u8> =
            bytes.flat_map(str::split_whitespace).map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        assert_eq!(wire(message, text).as_deref(), Ok(&*bytes), "{head}: {:02x?}", wire(message, text));
        assert_eq!(json(message, &bytes).as_deref(), Ok(text));
        count += 1;
    }
    assert_eq!(count, 7);
}

#[test]
fn the_wire_page_names_the_private_fields() {
    for number in [dragoman::codec::CARRIED, dragoman::codec::EXACT_NUMBER] {
        assert!(PAGE.contains(&format!("\n| {number} |")), "{number}");
    }
}

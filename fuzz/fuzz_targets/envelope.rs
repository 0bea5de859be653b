//! Any JSON-RPC request or answer: whatever is read can be written, and is then read as the same.
#![no_main]

use dragoman::a2a::Dialect;
use dragoman::codec::Form;
use dragoman::codec::jsonrpc::{Outcome, read_reply, read_request, write_fault, write_request, write_result};
use dragoman_fuzz::{LIMIT, operation};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((flags, text)) = data.split_first() else { return };
    let form = if flags & 1 == 0 { Form::V1_0 } else { Form::V0_3 };
    let mut out = Vec::new();
    match read_request(text, LIMIT) {
        Ok(request) => {
            let written = write_request(&request.id, request.form, request.operation, &request.body, &mut out);
            written.expect("what was read can be written");
            let again = read_request(&out, usize::MAX).expect("what was written can be read");
            assert_eq!((again.id, again.operation, again.form), (request.id, request.operation, request.form));
        }
        Err(rejected) => {
            write_fault(&rejected.id, rejected.dialect, &rejected.fault, &mut out).expect("our faults can be written");
        }
    }
    out.clear();
    let (id, operation) = (dragoman::codec::jsonrpc::Id::null(), operation(flags >> 1));
    match read_reply(text, form, operation, LIMIT) {
        Ok(Outcome::Result(wire)) => {
            // Answers are read leniently: 0.3 has no word for one that is nothing.
            if write_result(&id, form, operation, &wire, &mut out).is_ok() {
                read_reply(&out, form, operation, usize::MAX).expect("what was written can be read");
            }
        }
        Ok(Outcome::Error(fault)) => {
            for dialect in [Dialect::V0_3, Dialect::V1_0] {
                out.clear();
                write_fault(&id, dialect, &fault, &mut out).expect("an agent's error can be written");
                serde_json::from_slice::<serde_json::Value>(&out).expect("as JSON");
            }
        }
        Err(_) => {}
    }
});

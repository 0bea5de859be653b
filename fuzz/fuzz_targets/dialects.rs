//! Any text of 0.3: if it can be read, it is something in 1.0, and what comes out in 0.3 again is read as the same.
#![no_main]

use dragoman::codec::Form;
use dragoman_fuzz::{Side, ask, letters};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((side, operation, rest)) = ask(data) else { return };
    let Some((flags, text)) = rest.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let form = if flags & 1 == 0 { Form::V0_3 } else { Form::V0_3Rest };
    let Ok(wire) = side.read(form, operation, text) else { return };
    // An answer may leave out what 1.0 asks for, but never be what it cannot say.
    side.write(Form::V1_0, operation, &wire).expect("what was read is something in 1.0");
    let Ok(once) = side.write(form, operation, &wire) else {
        assert!(matches!(side, Side::Response), "a request of 0.3 can be written again");
        return;
    };
    let again = side.read(form, operation, &once).expect("what was written can be read");
    let twice = side.write(form, operation, &again).expect("and written");
    assert_eq!(letters(&once), letters(&twice), "{once}\n{twice}");
});

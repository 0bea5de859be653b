//! The details of faults in JSON (specification §9.5, §11.6): `google.rpc` messages, each with its `@type`.

use super::text::write_string;
use crate::a2a::{Fault, Row};

/// Writes the details of a fault of ours as a list.
pub fn write_details(fault: &Fault, out: &mut Vec<u8>) {
    out.push(b'[');
    write_error_info(fault.row(), None, out);
    if !fault.violations().is_empty() {
        out.push(b',');
        write_detail("google.rpc.BadRequest", out);
        out.extend_from_slice(b",\"fieldViolations\":[");
        for (index, violation) in fault.violations().iter().enumerate() {
            out.extend_from_slice(if index > 0 { b",{\"field\":" } else { b"{\"field\":" });
            write_string(out, &violation.field);
            write_member("description", &violation.description, out);
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
    }
    if let Some(after) = fault.retry_info() {
        out.push(b',');
        write_detail("google.rpc.RetryInfo", out);
        write_member("retryDelay", &format!("{}s", after.as_secs_f64()), out);
        out.push(b'}');
    }
    out.push(b']');
}

fn write_detail(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"@type\":");
    write_string(out, &format!("type.googleapis.com/{name}"));
}

fn write_member(key: &str, value: &str, out: &mut Vec<u8>) {
    out.push(b',');
    write_string(out, key);
    out.push(b':');
    write_string(out, value);
}

/// Writes what names the reason of a fault; `code` is an agent's own, if no table lists it.
pub fn write_error_info(row: &Row, code: Option<i64>, out: &mut Vec<u8>) {
    write_detail("google.rpc.ErrorInfo", out);
    write_member("reason", row.name, out);
    write_member("domain", row.domain, out);
    if let Some(code) = code {
        out.extend_from_slice(b",\"metadata\":{\"code\":");
        write_string(out, &code.to_string());
        out.push(b'}');
    }
    out.push(b'}');
}

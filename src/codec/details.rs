//! The details of faults in JSON (specification §9.5, §11.6): `google.rpc` messages, each with its `@type`.

use super::text::write_string;
use super::{Result, write_value};
use crate::a2a::{AgentError, Fault, Reason, Row};

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

/// Writes the data of an agent's error in the dialect that it came in: exactly as it was, but for an error that it told in
/// gRPC, whose reason may be in the status alone. Whether there is any.
///
/// # Errors
/// If the data is no `google.protobuf.Value`.
pub fn write_own(fault: &Fault, error: &AgentError, out: &mut Vec<u8>) -> Result<bool> {
    let Some(data) = &error.data else { return Ok(false) };
    let start = out.len();
    write_value(data, out)?;
    if fault.grpc().is_some() {
        name_reason(fault, start, out);
    }
    Ok(true)
}

/// Puts the reason before the details that begin at `start`, if they do not name it.
fn name_reason(fault: &Fault, start: usize, out: &mut Vec<u8>) {
    let Some(details @ [b'[', ..]) = out.get(start..) else { return };
    let row = fault.row();
    let named = format!("\"reason\":\"{}\",\"domain\":\"{}\"", row.name, row.domain);
    if memchr::memmem::find(details, named.as_bytes()).is_none() {
        let mut info = vec![b'['];
        write_error_info(row, None, &mut info);
        info.push(b',');
        out.splice(start..=start, info);
    }
}

/// Writes the details of an agent's error that came in another dialect as a list: what its code means, and its data,
/// whatever that is. Whether there are any.
///
/// # Errors
/// If the data is no `google.protobuf.Value`.
pub fn write_foreign(fault: &Fault, error: &AgentError, out: &mut Vec<u8>) -> Result<bool> {
    let is_listed = fault.reason() != Reason::JsonrpcError;
    out.push(b'[');
    if is_listed {
        write_error_info(fault.row(), None, out);
    }
    if let Some(data) = &error.data {
        if is_listed {
            out.push(b',');
        }
        write_data(data, out)?;
    }
    out.push(b']');
    Ok(is_listed || error.data.is_some())
}

/// Writes what holds the data of an agent's error that is no list of details.
///
/// # Errors
/// If the data is no `google.protobuf.Value`.
pub fn write_data(data: &[u8], out: &mut Vec<u8>) -> Result<()> {
    write_detail("google.protobuf.Struct", out);
    out.extend_from_slice(b",\"value\":{\"data\":");
    write_value(data, out)?;
    out.extend_from_slice(b"}}");
    Ok(())
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

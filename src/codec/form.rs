//! The JSON forms of an operation's messages. Whatever the form, what comes of it is canonical.

use super::text::Scanner;
use super::{Error, Reader, Reading, Result, schema, write};
use crate::a2a::Operation;

/// How the messages of an operation look in JSON.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// ProtoJSON of `a2a.v1`, the package of 0.3: over HTTP alone.
    V0_3Rest,
    /// ProtoJSON of `lf.a2a.v1`: A2A 1.0, over JSON-RPC as over HTTP.
    V1_0,
}

impl Form {
    /// Reads the request of an operation where the scanner stands.
    ///
    /// # Errors
    /// If it is no JSON, breaks the schema, or takes more than `limit` bytes in canonical form.
    pub fn read_request(self, scan: &mut Scanner<'_>, operation: Operation, limit: usize) -> Result<Vec<u8>> {
        let size = scan.rest();
        match self {
            Self::V0_3Rest => Err(unspoken()),
            Self::V1_0 => Reader::new(scan, Reading::Request, limit, size).read(schema::request(operation)),
        }
    }

    /// Writes the request of an operation.
    ///
    /// # Errors
    /// If the bytes are no protobuf of it, or this form cannot say it.
    pub fn write_request(self, operation: Operation, wire: &[u8], out: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::V0_3Rest => Err(unspoken()),
            Self::V1_0 => write(schema::request(operation), wire, out),
        }
    }

    /// Reads the response of an operation, of a stream one event, where the scanner stands.
    ///
    /// # Errors
    /// If it is no JSON, breaks the schema, or takes more than `limit` bytes in canonical form.
    pub fn read_response(
        self,
        scan: &mut Scanner<'_>,
        operation: Operation,
        limit: usize,
    ) -> Result<Vec<u8>> {
        let size = scan.rest();
        match self {
            Self::V0_3Rest => Err(unspoken()),
            Self::V1_0 => Reader::new(scan, Reading::Reply, limit, size).read(schema::response(operation)),
        }
    }

    /// Writes the response of an operation, of a stream one event.
    ///
    /// # Errors
    /// If the bytes are no protobuf of it, or this form cannot say it.
    pub fn write_response(self, operation: Operation, wire: &[u8], out: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::V0_3Rest => Err(unspoken()),
            Self::V1_0 => write(schema::response(operation), wire, out),
        }
    }
}

fn unspoken() -> Error {
    Error::invalid("A2A 0.3 over HTTP+JSON is not spoken here")
}

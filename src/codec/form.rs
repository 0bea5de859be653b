//! The JSON forms of an operation's messages. Whatever the form, what comes of it is canonical.

use super::text::Scanner;
use super::v0_3::Spelling;
use super::{Reader, Reading, Result, schema, write};
use crate::a2a::{Dialect, Operation};

/// How the messages of an operation look in JSON.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// The JSON Schema of A2A 0.3, over JSON-RPC.
    V0_3,
    /// `ProtoJSON` of the package `a2a.v1`: A2A 0.3 over HTTP.
    V0_3Rest,
    /// `ProtoJSON` of `lf.a2a.v1`: A2A 1.0, over JSON-RPC as over HTTP.
    V1_0,
}

impl Form {
    /// The dialect that has this form.
    pub fn dialect(self) -> Dialect {
        match self {
            Self::V0_3 | Self::V0_3Rest => Dialect::V0_3,
            Self::V1_0 => Dialect::V1_0,
        }
    }

    /// Reads the request of an operation where the scanner stands.
    ///
    /// # Errors
    /// If it is no JSON, breaks the schema, or takes more than `limit` bytes in canonical form.
    pub fn read_request(self, scan: &mut Scanner<'_>, operation: Operation, limit: usize) -> Result<Vec<u8>> {
        let size = scan.rest();
        match self {
            Self::V0_3 => Spelling::Rpc.read_request(scan, operation, limit),
            Self::V0_3Rest => Spelling::Rest.read_request(scan, operation, limit),
            Self::V1_0 => Reader::new(scan, Reading::Request, limit, size).read(schema::request(operation)),
        }
    }

    /// Writes the request of an operation.
    ///
    /// # Errors
    /// If the bytes are no protobuf of it, or this form cannot say it.
    pub fn write_request(self, operation: Operation, wire: &[u8], out: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::V0_3 => Spelling::Rpc.write_request(operation, wire, out),
            Self::V0_3Rest => Spelling::Rest.write_request(operation, wire, out),
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
            Self::V0_3 => Spelling::Rpc.read_response(scan, operation, limit),
            Self::V0_3Rest => Spelling::Rest.read_response(scan, operation, limit),
            // One SDK answers with the bare list.
            Self::V1_0
                if operation == Operation::ListTaskPushNotificationConfigs && scan.peek() == Some(b'[') =>
            {
                let text = format!("{{\"configs\":{}}}", scan.skip()?);
                let mut scan = Scanner::new(&text);
                Reader::new(&mut scan, Reading::Reply, limit, size).read(schema::response(operation))
            }
            Self::V1_0 => Reader::new(scan, Reading::Reply, limit, size).read(schema::response(operation)),
        }
    }

    /// Writes the response of an operation, of a stream one event.
    ///
    /// # Errors
    /// If the bytes are no protobuf of it, or this form cannot say it.
    pub fn write_response(self, operation: Operation, wire: &[u8], out: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::V0_3 => Spelling::Rpc.write_response(operation, wire, out),
            Self::V0_3Rest => Spelling::Rest.write_response(operation, wire, out),
            Self::V1_0 => write(schema::response(operation), wire, out),
        }
    }
}

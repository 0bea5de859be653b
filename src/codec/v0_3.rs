//! A2A 0.3: its JSON as a rewrite of that of 1.0, and nowhere else. What each table does not say is in `docs/dialects.md`.

pub mod card;
mod message;
mod peek;
mod push;
mod request;
mod security;
mod shape;
mod task;
mod time;

pub use self::peek::{Follows, follows, keeps, say_final, says_final};
use self::shape::Shape;
pub(super) use self::shape::Spelling;
use super::text::Scanner;
use super::tree::Node;
use super::{Cause, Error, Reader, Reading, Result, schema, write_keeping};
use crate::a2a::Operation;

/// The methods of JSON-RPC 0.3 (specification 0.3 §3.5.6), and the one that an SDK has beyond it.
const METHODS: [(&str, Operation); 11] = [
    ("message/send", Operation::SendMessage),
    ("message/stream", Operation::SendStreamingMessage),
    ("tasks/get", Operation::GetTask),
    ("tasks/list", Operation::ListTasks),
    ("tasks/cancel", Operation::CancelTask),
    ("tasks/resubscribe", Operation::SubscribeToTask),
    ("tasks/pushNotificationConfig/set", Operation::CreateTaskPushNotificationConfig),
    ("tasks/pushNotificationConfig/get", Operation::GetTaskPushNotificationConfig),
    ("tasks/pushNotificationConfig/list", Operation::ListTaskPushNotificationConfigs),
    ("tasks/pushNotificationConfig/delete", Operation::DeleteTaskPushNotificationConfig),
    ("agent/getAuthenticatedExtendedCard", Operation::GetExtendedAgentCard),
];

/// The operation of a method.
pub fn operation(method: &str) -> Option<Operation> {
    METHODS.iter().find(|(name, _)| *name == method).map(|(_, operation)| *operation)
}

/// The method of an operation; `None` for the card, which is no RPC.
pub fn method(operation: Operation) -> Option<&'static str> {
    METHODS.iter().find(|(_, known)| *known == operation).map(|(name, _)| *name)
}

impl Spelling {
    /// Reads the request of an operation where the scanner stands.
    pub(super) fn read_request(
        self,
        scan: &mut Scanner<'_>,
        operation: Operation,
        limit: usize,
    ) -> Result<Vec<u8>> {
        let v1_0 = request(operation, self).up(Node::of(scan.skip()?), self)?;
        read(&v1_0, schema::request(operation), Reading::Request, limit)
    }

    /// Writes the request of an operation.
    pub(super) fn write_request(self, operation: Operation, wire: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let text = kept(schema::request(operation), wire)?;
        request(operation, self).down(Node::of(&text), self)?.write(out);
        Ok(())
    }

    /// Reads the response of an operation, of a stream one event, where the scanner stands.
    pub(super) fn read_response(
        self,
        scan: &mut Scanner<'_>,
        operation: Operation,
        limit: usize,
    ) -> Result<Vec<u8>> {
        let value = Node::of(scan.skip()?);
        let v1_0 = match response(operation, self) {
            Response::Card => card::up(value)?,
            Response::Configs => push::list_up(value, self)?,
            Response::Nothing => return Ok(Vec::new()),
            Response::Object(shape) => shape.up(value, self)?,
            Response::Payload => task::payload_up(value, self)?,
        };
        read(&v1_0, schema::response(operation), Reading::Reply, limit)
    }

    /// Writes the response of an operation, of a stream one event.
    pub(super) fn write_response(self, operation: Operation, wire: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let text = kept(schema::response(operation), wire)?;
        let value = Node::of(&text);
        let v0_3 = match response(operation, self) {
            Response::Card => card::down(value)?,
            Response::Configs => push::list_down(value, self)?,
            Response::Nothing if self == Self::Rpc => Node::NULL,
            Response::Nothing => value,
            Response::Object(shape) => shape.down(value, self)?,
            Response::Payload => task::payload_down(value, self)?,
        };
        v0_3.write(out);
        Ok(())
    }
}

/// How an operation is asked for.
fn request(operation: Operation, spelling: Spelling) -> &'static Shape {
    use Operation as O;
    match (operation, spelling) {
        (O::SendMessage | O::SendStreamingMessage, _) => &request::SEND,
        (O::GetTask | O::SubscribeToTask, Spelling::Rpc) => &request::READ,
        (O::GetTask | O::SubscribeToTask, Spelling::Rest) => &request::READ_NAME,
        (O::CancelTask, Spelling::Rpc) => &request::CANCEL,
        (O::CancelTask, Spelling::Rest) => &request::CANCEL_NAME,
        (O::ListTasks, _) => &request::LIST,
        (O::CreateTaskPushNotificationConfig, _) => push::of(spelling),
        (O::ListTaskPushNotificationConfigs, Spelling::Rpc) => &push::ALL,
        (O::ListTaskPushNotificationConfigs, Spelling::Rest) => &push::ALL_NAME,
        (O::GetTaskPushNotificationConfig | O::DeleteTaskPushNotificationConfig, Spelling::Rpc) => {
            &push::WHICH
        }
        (O::GetTaskPushNotificationConfig | O::DeleteTaskPushNotificationConfig, Spelling::Rest) => {
            &push::WHICH_NAME
        }
        (O::GetExtendedAgentCard | O::GetAgentCard, _) => &request::CARD,
    }
}

/// What an operation is answered with.
enum Response {
    Card,
    Configs,
    Nothing,
    Object(&'static Shape),
    Payload,
}

fn response(operation: Operation, spelling: Spelling) -> Response {
    use Operation as O;
    match operation {
        O::SendMessage | O::SendStreamingMessage | O::SubscribeToTask => Response::Payload,
        O::GetTask | O::CancelTask => Response::Object(&task::TASK),
        O::ListTasks => Response::Object(&task::TASKS),
        O::CreateTaskPushNotificationConfig | O::GetTaskPushNotificationConfig => {
            Response::Object(push::of(spelling))
        }
        O::ListTaskPushNotificationConfigs => Response::Configs,
        O::DeleteTaskPushNotificationConfig => Response::Nothing,
        O::GetAgentCard | O::GetExtendedAgentCard => Response::Card,
    }
}

/// Reads a tree of 1.0 as a message.
fn read(
    v1_0: &Node<'_>,
    message: &'static schema::Message,
    reading: Reading,
    limit: usize,
) -> Result<Vec<u8>> {
    let mut json = Vec::new();
    v1_0.write(&mut json);
    let text = std::str::from_utf8(&json).map_err(|_| Error::from(Cause::Wire("no UTF-8")))?;
    let mut scan = Scanner::new(text);
    let wire = Reader::new(&mut scan, reading, limit, text.len()).keeping().read(message)?;
    scan.end()?;
    Ok(wire)
}

/// A message as JSON of 1.0, with what was kept from 0.3.
fn kept(message: &'static schema::Message, wire: &[u8]) -> Result<String> {
    let mut json = Vec::with_capacity(wire.len() * 5 / 4 + 128);
    write_keeping(message, wire, &mut json)?;
    String::from_utf8(json).map_err(|_| Cause::Wire("a string is not UTF-8").into())
}

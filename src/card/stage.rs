//! The stages that rewrite cards on their way: toward the agent of this pod, and toward peers. All other calls pass
//! untouched, and unboxed.

mod cache;
mod inbound;
mod outbound;

pub use cache::Cards;
pub use inbound::inbound;
pub use outbound::{Settings, outbound};

use bytes::Bytes;

use crate::a2a::{Body, Fault, Params, Reason, Reply};

/// A reply with a card in it.
#[derive(Clone, Debug)]
struct Card {
    params: Params,
    wire: Bytes,
}

impl Card {
    fn of(reply: Reply) -> Result<Self, Fault> {
        match reply.body {
            Body::Once(wire) => Ok(Self { params: reply.params, wire }),
            Body::Events(_) => Err(Fault::new(Reason::Internal, "a stream came where a card was due")),
        }
    }

    fn into_reply(self) -> Reply {
        Reply { params: self.params, body: Body::Once(self.wire) }
    }
}

#[cfg(test)]
mod tests;

//! Cards of other agents on their way to the agent of this pod: checked, kept for a while, and rewritten for each caller.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::Either;
use tokio::time::timeout_at;
use tower::service_fn;

use super::Card;
use super::cache::{Cards, Key};
use crate::a2a::{Binding, Call, Fault, Home, Operation, Reason, Reply, Stage, without_port};
use crate::card::key::Key as PublicKey;
use crate::card::{Base, MAX, attach_original, for_caller, original, signature};
use crate::codec;

/// How cards are made ready for the agent of this pod.
#[derive(Debug)]
pub struct Settings {
    /// Where this sidecar is at home.
    pub home: Home,
    /// `host:port` of the listener, for gRPC and for callers that came without a base URL.
    pub listener: String,
    /// The bindings that the listener serves, the preferred one first.
    pub bindings: Vec<Binding>,
    /// The keys of which one must have signed each card; with none, signatures are not looked at.
    pub keys: Vec<PublicKey>,
    /// The most bytes of a card in canonical form.
    pub limit: usize,
}

/// Makes the cards that `inner` brings ready as the settings say, and keeps them for a while.
pub fn outbound(mut inner: impl Stage, cards: Cards, settings: Settings) -> impl Stage {
    let settings = Arc::new(settings);
    service_fn(move |call: Call| {
        let cached = match call.operation {
            Operation::GetAgentCard => true,
            // What only some callers see is asked for each time.
            Operation::GetExtendedAgentCard => false,
            _ => return Either::Left(inner.call(call)),
        };
        Either::Right(Arc::clone(&settings).card(inner.clone(), cards.clone(), call, cached).boxed())
    })
}

impl Settings {
    async fn card(
        self: Arc<Self>,
        inner: impl Stage,
        cache: Cards,
        call: Call,
        cached: bool,
    ) -> Result<Reply, Fault> {
        let (agent, base) = (call.agent.clone(), call.base.clone());
        let mut card = if cached {
            let key = Key::of(&call);
            let deadline = call.deadline;
            // It may serve several callers, of whom the one that asked first need not be the most patient.
            let call = Call { deadline: None, ..call };
            let settings = Arc::clone(&self);
            let card = cache.get(key, || async move { settings.fetch(inner, call).await }.boxed());
            match deadline {
                Some(deadline) => timeout_at(deadline, card).await.unwrap_or_else(|_| Err(late()))?,
                None => card.await?,
            }
        } else {
            self.fetch(inner, call).await?
        };
        let url = base.unwrap_or_else(|| {
            format!("http://{}/agents/{}", self.listener, agent.clear_at(&self.home)).into()
        });
        let grpc = listener(&url).unwrap_or(&self.listener);
        let base = Base { url: &url, grpc, agent: &agent, home: &self.home };
        let unreadable = |error: codec::Error| error.of_reply();
        let mut wire = for_caller(&card.wire, &base, &self.bindings).map_err(unreadable)?;
        if let (true, Some(json)) = (cached, original(&card.wire).map_err(unreadable)?) {
            // Who serves the card can show the original too; it is no field of the card.
            attach_original(&mut wire, json);
        }
        card.wire = wire.into();
        Ok(card.into_reply())
    }

    async fn fetch(&self, mut inner: impl Stage, call: Call) -> Result<Card, Fault> {
        let agent = call.agent.clone();
        let card = Card::of(inner.call(call).await?)?;
        if self.keys.is_empty() {
            return Ok(card);
        }
        let wire = self.trusted(&card.wire).map_err(|why| {
            Fault::new(Reason::CardUntrusted, format!("the card of {agent} is not trusted")).because(why)
        })?;
        Ok(Card { wire, ..card })
    }

    /// The card as its signed text says it: only that is known to be its agent's.
    fn trusted(&self, card: &[u8]) -> Result<Bytes, String> {
        let json = original(card).map_err(|error| error.to_string())?;
        let json = json.ok_or("the card came without the text that its signatures are over")?;
        if json.len() > MAX {
            return Err(format!("the card's text has more than {MAX} bytes"));
        }
        let verified = signature::verify(json, &self.keys).map_err(|refusal| refusal.to_string())?;
        tracing::debug!(key = verified.key, whole = verified.whole, "Card trusted");
        let signed = codec::v0_3::card::read(json, self.limit);
        let mut signed = signed.map_err(|error| error.to_string())?;
        attach_original(&mut signed, json);
        Ok(signed.into())
    }
}

/// The `host:port` of the listener that a caller has reached at that URL, which may be the port of one agent; `None` if
/// the host is the agent's name, which leads here only where a proxy or the caller itself sees to it.
fn listener(url: &str) -> Option<&str> {
    let authority = url.strip_prefix("http://")?.split('/').next()?;
    let host = without_port(authority);
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_ours = host.eq_ignore_ascii_case("localhost") || address.is_ok();
    (is_ours && host.len() < authority.len()).then_some(authority)
}

fn late() -> Fault {
    Fault::new(Reason::DeadlineExceeded, "the agent's card did not come in time")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_where_the_caller_has_reached_this_sidecar() {
        for (url, expected) in [
            ("http://127.0.0.1:2602/agents/a", Some("127.0.0.1:2602")),
            ("http://127.0.0.1:2701", Some("127.0.0.1:2701")),
            ("http://[::1]:2701", Some("[::1]:2701")),
            ("http://localhost:2602/agents/a", Some("localhost:2602")),
            ("http://localhost/agents/a", None),
            ("http://[::1]/agents/a", None),
            ("http://a.travel.a2a", None),
            ("http://a.travel.a2a:80", None),
        ] {
            assert_eq!(listener(url), expected, "{url}");
        }
    }
}

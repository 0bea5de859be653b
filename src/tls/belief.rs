//! A peer that was believed in the handshake need not be for ever: its certificate expires, and bundles are taken away.

use std::sync::Arc;
use std::time::Duration;

use rustls::CommonState;
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::Refusal;
use crate::identity::{Clock, Pattern, State, Svid, Usage};

/// How often the calendar is looked at: clocks are set, machines sleep.
const LOOK: Duration = Duration::from_secs(60);
/// How long calls under way may go on with a peer that is not believed any more. Others of its trust domain may well be:
/// roots are exchanged.
const PATIENCE: Duration = Duration::from_secs(30);

/// How peers are judged: by the bundles of the moment.
#[derive(Clone, Debug)]
pub(super) struct Judge {
    pub(super) states: watch::Receiver<State>,
    /// Who the peer must be; `None` is anybody whose trust domain is known.
    pub(super) expected: Option<Pattern>,
}

impl Judge {
    /// Whether that chain, whose leaf comes first, is to be believed at `now` (Unix seconds).
    pub(super) fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        usage: Usage,
        now: i64,
    ) -> Result<Svid, Refusal> {
        let material = match &*self.states.borrow() {
            State::Loaded(material) => Arc::clone(material),
            State::Missing(reason) => return Err(Refusal::NotReady(reason.clone())),
        };
        let peer = Svid::verify(leaf, rest, &material.bundles, usage, now)?;
        match &self.expected {
            Some(expected) if !expected.matches(peer.id.as_str()) => {
                Err(Refusal::Mismatch { expected: expected.clone(), presented: peer.id })
            }
            _ => Ok(peer),
        }
    }

    /// The leaf that we show now.
    fn own(&self) -> Option<CertificateDer<'static>> {
        self.states.borrow().material().and_then(|material| material.chain().first().cloned())
    }
}

/// The peer of a connection, as long as it is believed.
#[derive(Debug)]
pub struct Belief {
    judge: Judge,
    clock: Clock,
    chain: Vec<CertificateDer<'static>>,
    usage: Usage,
    peer: Svid,
    /// The leaf that we have shown.
    own: Option<CertificateDer<'static>>,
}

impl Belief {
    /// The peer at the other end, which stands for `usage`, of a connection whose handshake is over.
    pub(super) fn of(
        judge: Judge,
        clock: Clock,
        usage: Usage,
        connection: &CommonState,
    ) -> Result<Self, Refusal> {
        let chain = connection.peer_certificates().ok_or(Refusal::Anonymous)?;
        let chain: Vec<_> = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
        let peer = Svid::read(chain.first().ok_or(Refusal::Anonymous)?)?;
        let own = judge.own();
        Ok(Self { judge, clock, chain, usage, peer, own })
    }

    /// Who the peer is.
    #[must_use]
    pub fn peer(&self) -> &Svid {
        &self.peer
    }

    /// Waits until nothing more may be said on the connection, because the peer's trust domain or the root that it stood
    /// under is not believed any more; that is why. Then, or before, when a certificate of either end has been followed by
    /// another one or has expired, `fade` is called: from there on it is for what has begun, and new calls take a new
    /// connection.
    pub async fn lost(mut self, fade: impl FnOnce()) -> Refusal {
        let mut fade = Some(fade);
        loop {
            let left = self.peer.not_after - self.clock.now();
            let left = u64::try_from(left).unwrap_or_default();
            if (left == 0 || self.judge.own() != self.own)
                && let Some(fade) = fade.take()
            {
                fade();
            }
            let look = LOOK.min(Duration::from_secs(left.max(1)));
            match timeout(look, self.judge.states.changed()).await {
                Err(_) => continue,
                Ok(Ok(())) => {}
                // The source of identities is gone: the process is ending.
                Ok(Err(_)) => std::future::pending().await,
            }
            if let Err(refusal) = self.judged() {
                if let Some(fade) = fade.take() {
                    fade();
                }
                sleep(PATIENCE).await;
                return refusal;
            }
        }
    }

    /// Judges the peer anew. What was good when it expired has not been taken away.
    fn judged(&self) -> Result<Svid, Refusal> {
        let (leaf, rest) = self.chain.split_first().ok_or(Refusal::Anonymous)?;
        let now = self.clock.now().min(self.peer.not_after);
        self.judge.judge(leaf, rest, self.usage, now)
    }
}

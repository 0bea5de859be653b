//! The next step for whoever runs into a fault.

use crate::a2a::Reason;

/// What to do about a call to a peer that failed for `reason`; `docs/troubleshooting.md` says more.
pub(super) fn of(reason: Reason) -> &'static str {
    match reason {
        Reason::AgentNotFound => {
            "see that a Service with a port named a2a selects its pods, and that the name is \
             agent.namespace[.mesh]: kubectl get service,endpointslice -n NAMESPACE"
        }
        Reason::AgentUnreachable => {
            "see that its pod is ready and that no NetworkPolicy stands between: port 2643 must be open, TCP"
        }
        Reason::PeerUntrusted => {
            "see that both sides have the bundle of the other's trust domain, and that no certificate has expired: \
             dragoman check in both pods"
        }
        Reason::PeerMismatch => {
            "the answer came from another identity than identity.server expects: see the service account of its pod, \
             or name the ID in identity.servers"
        }
        Reason::PermissionDenied => {
            "its policy does not let this pod in: add this pod's SPIFFE ID to policy.allow[].from of that agent"
        }
        Reason::Unauthenticated => "the agent itself wants credentials: send its Authorization header",
        Reason::RateLimited => "too much at once: wait, or raise limits.buffered",
        Reason::DeadlineExceeded => "the agent takes longer than the deadline, or hangs: see its log",
        Reason::MessageTooLarge => "raise limits.message on both sides",
        Reason::AgentProtocolError => {
            "the agent answers with something that is no A2A: see binding and dialect of its sidecar's agents[]"
        }
        Reason::StreamBroken => "the agent or its sidecar ended in the middle: see their logs",
        Reason::CardNotFound => "the agent serves no card at .well-known/agent-card.json: see agents[].card",
        Reason::CardUntrusted => {
            "the card is signed by none of cards.keys: see which key the agent signs with"
        }
        _ => "see the log of both sidecars for that call",
    }
}

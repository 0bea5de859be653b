//! Who may do what, and for how long.

pub mod limit;
pub mod rules;

use std::sync::Arc;

use tower::service_fn;

use self::rules::Rules;
use crate::a2a::{Call, Fault, NamePattern, Reason, Stage};

/// Lets only those calls of peers through to `inner` that a rule allows.
pub fn enforce(mut inner: impl Stage, rules: Arc<Rules>) -> impl Stage {
    service_fn(move |call: Call| {
        let reply = rules.decide(call).map(|permitted| inner.call(permitted.into_call()));
        async move {
            match reply {
                Ok(reply) => reply.await,
                Err(denial) => {
                    let fault =
                        Fault::new(Reason::PermissionDenied, "the agent's policy does not allow this");
                    Err(fault.because(denial).never_processed())
                }
            }
        }
    })
}

/// Lets only calls of the local agent through to `inner` that go to agents which one of `allow` matches.
pub fn narrow(mut inner: impl Stage, allow: Arc<[NamePattern]>) -> impl Stage {
    service_fn(move |call: Call| {
        let allowed = allow.iter().any(|pattern| pattern.matches(&call.agent));
        let reply = if allowed { Ok(inner.call(call)) } else { Err(call.agent) };
        async move {
            match reply {
                Ok(reply) => reply.await,
                Err(agent) => {
                    let fault =
                        Fault::new(Reason::PermissionDenied, format!("this pod may not call {agent}"));
                    Err(fault.because("outbound.allow does not list it").never_processed())
                }
            }
        }
    })
}

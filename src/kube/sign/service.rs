//! The identity service itself: who shows a good token gets a certificate for the key of its request.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use tokio::{sync::watch, time::Instant};
use tonic::{Code, Request, Response, Status, async_trait, metadata::MetadataMap};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{
    Issuing, Metrics, Settings, Unissued,
    claims::plausible,
    names::{Named, Names},
    review::{Reviewer, Workload},
};
use crate::identity::{AuthorityError, Clock, IdError, PublicKey, RequestError, Signed, SpiffeId};
use crate::kube::{
    limit::{Limit, Rate},
    sparing::Sparing,
};
use crate::proto::mesh::identity_server::{Identity, IdentityServer};
use crate::proto::mesh::{Bundles, CertifyRequest, CertifyResponse, GetBundlesRequest};

/// The longest request, in bytes: a key needs far less.
const REQUEST_MAX: usize = 64 << 10;

const BEARER: &str = "Bearer ";

/// How many certificates a service account may have: at once as many as a large deployment has pods on a few nodes.
const CERTIFICATES: Rate = Rate { burst: 200.0, each_second: 10.0, keys_max: 10_000 };

/// Issues certificates. Clones are the same service.
#[derive(Clone)]
pub struct Service(Arc<Shared>);

struct Shared {
    settings: Arc<Settings>,
    issuing: watch::Receiver<Result<Arc<Issuing>, Unissued>>,
    reviewer: Reviewer,
    names: Names,
    limit: Limit,
    sparing: Sparing,
    clock: Clock,
    metrics: Metrics,
}

/// Why there is no certificate. What is said here goes to whoever asks.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("too many requests of {who}")]
    Busy { who: String, again: Duration },
    #[error("{0} cannot be a SPIFFE ID")]
    Id(#[from] IdError),
    #[error("there is no token: send it as authorization: Bearer <token>")]
    NoToken,
    #[error("{0}")]
    Request(#[from] RequestError),
    #[error("no certificate can be signed: {0}")]
    Sign(#[from] AuthorityError),
    #[error("the token is not accepted: {0}")]
    Token(String),
    #[error("{0}")]
    Unable(String),
    #[error("no issuer: {0}")]
    Unissued(#[from] Unissued),
}

/// A certificate, and who gets it.
struct Decision {
    signed: Signed,
    issuing: Arc<Issuing>,
    named: Named,
}

impl Service {
    pub(super) fn new(
        client: &kube::Client,
        settings: Arc<Settings>,
        issuing: watch::Receiver<Result<Arc<Issuing>, Unissued>>,
        clock: Clock,
        metrics: Metrics,
    ) -> Self {
        let reviewer = Reviewer::new(client, settings.audience.clone());
        let names = Names::new(client.clone(), settings.cluster_domain.clone(), settings.names.clone());
        let (limit, sparing) = (Limit::new(CERTIFICATES), Sparing::default());
        Self(Arc::new(Shared { settings, issuing, reviewer, names, limit, sparing, clock, metrics }))
    }

    /// The service as HTTP requests are answered with.
    #[must_use]
    pub fn server(&self) -> IdentityServer<Self> {
        IdentityServer::new(self.clone()).max_decoding_message_size(REQUEST_MAX)
    }
}

impl Shared {
    /// Decides upon a request. `who` is told as soon as it is known.
    async fn decide(
        &self,
        request: Request<CertifyRequest>,
        who: &mut Option<Workload>,
    ) -> Result<Decision, Refusal> {
        let token = bearer(request.metadata())?;
        // What is cheap comes first: no review is spent on a token that is none, nor on a request that is none.
        plausible(&token, &self.settings.audience, self.clock.now()).map_err(Refusal::Token)?;
        let key = PublicKey::of_request(&request.into_inner().csr)?;
        let issuing = self.issuing.borrow().clone()?;
        let workload = who.insert(self.reviewer.review(token).await?);
        let account = format!("{}/{}", workload.namespace, workload.account);
        self.limit.take(&account, Instant::now()).map_err(|again| Refusal::Busy { who: account, again })?;
        let Workload { namespace, account, .. } = &*workload;
        let id =
            SpiffeId::parse(&format!("spiffe://{}/ns/{namespace}/sa/{account}", self.settings.trust_domain))?;
        let named = self.names.of(workload).await;
        let names: Vec<&str> = named.names.iter().map(String::as_str).collect();
        let now = self.clock.now();
        let signed = issuing.authority.sign(&id, &names, self.settings.lifetime, now, &key)?;
        Ok(Decision { signed, issuing, named })
    }

    /// One line for each certificate, and for some refusals; nothing of the token is in it.
    fn note(&self, who: Option<&Workload>, decided: &Result<Decision, Refusal>) {
        let account = who.map(|who| format!("{}/{}", who.namespace, who.account)).unwrap_or_default();
        let pod = who.map(|who| who.pod.as_str()).unwrap_or_default();
        match decided {
            Ok(Decision { signed, named, .. }) => {
                self.metrics.decided("ok");
                tracing::info!(
                    account,
                    pod,
                    id = %signed.id,
                    decision = "allowed",
                    dns = named.names.join(" "),
                    expires = moment(signed.not_after),
                    "Certificate issued"
                );
            }
            Err(refusal) => {
                self.metrics.decided(refusal.result());
                match self.sparing.tell(refusal.result(), Instant::now()) {
                    Some(others) => {
                        tracing::warn!(account, pod, decision = "denied", reason = %refusal, others, "Certificate refused");
                    }
                    None => {
                        tracing::debug!(account, pod, decision = "denied", reason = %refusal, "Certificate refused");
                    }
                }
            }
        }
    }
}

impl Refusal {
    /// How it is counted.
    fn result(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "limited",
            Self::Id(_) | Self::Request(_) => "invalid",
            Self::NoToken | Self::Token(_) => "unauthenticated",
            Self::Sign(_) | Self::Unable(_) | Self::Unissued(_) => "error",
        }
    }

    fn status(&self) -> Status {
        let said = self.to_string();
        match self {
            Self::Busy { again, .. } => {
                let details = ErrorDetails::with_retry_info(Some(*again));
                Status::with_error_details(Code::ResourceExhausted, said, details)
            }
            Self::Id(_) | Self::Request(_) => Status::invalid_argument(said),
            Self::NoToken | Self::Token(_) => Status::unauthenticated(said),
            Self::Sign(_) | Self::Unable(_) | Self::Unissued(_) => Status::unavailable(said),
        }
    }
}

#[async_trait]
impl Identity for Service {
    async fn certify(&self, request: Request<CertifyRequest>) -> Result<Response<CertifyResponse>, Status> {
        let mut who = None;
        let decided = self.0.decide(request, &mut who).await;
        self.0.note(who.as_ref(), &decided);
        let Decision { signed, issuing, named } = decided.map_err(|refusal| refusal.status())?;
        Ok(Response::new(CertifyResponse {
            chain: signed.chain.iter().map(|der| der.to_vec()).collect(),
            bundles: Some(issuing.told.clone()),
            expires: Some(prost_types::Timestamp { seconds: signed.not_after, nanos: 0 }),
            renew_in: named.again.and_then(|again| again.try_into().ok()),
        }))
    }

    async fn get_bundles(&self, _: Request<GetBundlesRequest>) -> Result<Response<Bundles>, Status> {
        match &*self.0.issuing.borrow() {
            Ok(issuing) => Ok(Response::new(issuing.told.clone())),
            Err(unissued) => Err(Refusal::Unissued(unissued.clone()).status()),
        }
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

fn bearer(metadata: &MetadataMap) -> Result<String, Refusal> {
    let token = metadata.get("authorization").and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| {
        let (scheme, token) = value.split_at_checked(BEARER.len())?;
        scheme.eq_ignore_ascii_case(BEARER).then(|| token.trim())
    });
    token.filter(|token| !token.is_empty()).map(str::to_owned).ok_or(Refusal::NoToken)
}

fn moment(unix: i64) -> String {
    Timestamp::from_second(unix).map(|moment| moment.to_string()).unwrap_or_default()
}

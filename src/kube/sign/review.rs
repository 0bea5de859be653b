//! Who a service account token belongs to, as the API server says it.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::{Api, Client, api::PostParams};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use super::{
    refused::{Hash, Refused},
    service::Refusal,
};
use crate::kube::{cut, why};

/// How many reviews may be under way, and how long a request waits for its turn.
const REVIEWS_MAX: usize = 32;
const TURN: Duration = Duration::from_secs(2);
/// How long the API server may take.
const ANSWER: Duration = Duration::from_secs(10);
/// When somebody who had no turn may come again.
const AGAIN: Duration = Duration::from_secs(5);
/// How much is passed on of why a token is refused, in bytes: an API server quotes what is in it.
const REASON_MAX: usize = 512;

const ACCOUNT: &str = "system:serviceaccount:";
/// What the API server adds about the pod that a token is bound to.
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// The pod that shows a token, and whose account it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Workload {
    pub(super) namespace: String,
    pub(super) account: String,
    pub(super) pod: String,
    pub(super) uid: String,
}

/// Asks the API server.
#[derive(Clone)]
pub(super) struct Reviewer {
    reviews: Api<TokenReview>,
    audience: String,
    turns: Arc<Semaphore>,
    refused: Arc<Refused>,
}

impl Reviewer {
    pub(super) fn new(client: &Client, audience: String) -> Self {
        let turns = Arc::new(Semaphore::new(REVIEWS_MAX));
        Self { reviews: Api::all(client.clone()), audience, turns, refused: Arc::default() }
    }

    /// Whose token this is. There is no other audience than ours, and no account without a pod.
    pub(super) async fn review(&self, token: String) -> Result<Workload, Refusal> {
        let hash = Hash::of(&token);
        self.known(hash)?;
        let Ok(Ok(_turn)) = timeout(TURN, self.turns.acquire()).await else {
            return Err(Refusal::Busy { who: "all pods together".to_owned(), again: AGAIN });
        };
        // While it waited, the same one may have been refused.
        self.known(hash)?;
        let reviewed = self.ask(token).await;
        if let Err(Refusal::Token(why)) = &reviewed {
            self.refused.remember(hash, why, Instant::now());
        }
        reviewed
    }

    /// Refuses what was refused a moment ago.
    fn known(&self, token: Hash) -> Result<(), Refusal> {
        self.refused.why(token, Instant::now()).map_or(Ok(()), |why| Err(Refusal::Token(why)))
    }

    async fn ask(&self, token: String) -> Result<Workload, Refusal> {
        let audiences = Some(vec![self.audience.clone()]);
        let review =
            TokenReview { spec: TokenReviewSpec { audiences, token: Some(token) }, ..TokenReview::default() };
        let reviewed = timeout(ANSWER, self.reviews.create(&PostParams::default(), &review)).await;
        let reviewed = reviewed.map_err(|_| Refusal::Unable("the API server does not answer".to_owned()))?;
        let reviewed = reviewed
            .map_err(|error| Refusal::Unable(format!("the token cannot be reviewed: {}", why(&error))))?;
        workload(reviewed.status.unwrap_or_default(), &self.audience)
    }
}

/// Reads a review.
fn workload(status: TokenReviewStatus, audience: &str) -> Result<Workload, Refusal> {
    let refuse = |why: String| Err(Refusal::Token(cut(why, REASON_MAX)));
    if status.authenticated != Some(true) {
        let why = status.error.filter(|error| !error.is_empty());
        return refuse(why.unwrap_or_else(|| "the API server does not know it".to_owned()));
    }
    // An API server that knows nothing of audiences answers without them: then it has not looked.
    if !status.audiences.is_some_and(|audiences| audiences.iter().any(|known| known == audience)) {
        return refuse(format!("it is not for {audience}"));
    }
    let user = status.user.unwrap_or_default();
    let name = user.username.unwrap_or_default();
    let Some((namespace, account)) = name.strip_prefix(ACCOUNT).and_then(|name| name.split_once(':')) else {
        return refuse(format!("{name:?} is no service account"));
    };
    let extra = user.extra.unwrap_or_default();
    let one = |key: &str| extra.get(key).and_then(|values| values.first()).filter(|value| !value.is_empty());
    let (Some(pod), Some(uid)) = (one(POD_NAME), one(POD_UID)) else {
        return refuse(format!("the token of {namespace}/{account} is not bound to a pod"));
    };
    Ok(Workload {
        namespace: namespace.to_owned(),
        account: account.to_owned(),
        pod: pod.clone(),
        uid: uid.clone(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What an API server of 1.33 answers about a token that a pod got by projection.
    fn good() -> Value {
        json!({
            "authenticated": true,
            "user": {
                "username": "system:serviceaccount:travel:currency",
                "uid": "7c6f3b1e-6c3f-4f55-9a45-6e2b0f6b8a10",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:travel", "system:authenticated"],
                "extra": {
                    "authentication.kubernetes.io/credential-id": ["JTI=0f3c9f3e-8a51-4f0c-b6a7-9a4f4f2d7c55"],
                    "authentication.kubernetes.io/node-name": ["node-1"],
                    "authentication.kubernetes.io/pod-name": ["currency-7d4b9c6f5-x2x9q"],
                    "authentication.kubernetes.io/pod-uid": ["5b9e6a0c-43cf-4a1d-8f0e-1f0a3f6f9d21"],
                },
            },
            "audiences": ["dragoman-identity"],
        })
    }

    fn judge(status: Value) -> Result<Workload, String> {
        let judged = workload(serde_json::from_value(status).unwrap(), "dragoman-identity");
        judged.map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn a_bound_token_for_us_names_account_and_pod() {
        let workload = judge(good()).unwrap();
        assert_eq!((&*workload.namespace, &*workload.account), ("travel", "currency"));
        assert_eq!(workload.pod, "currency-7d4b9c6f5-x2x9q");
        assert_eq!(workload.uid, "5b9e6a0c-43cf-4a1d-8f0e-1f0a3f6f9d21");
    }

    #[test]
    fn what_is_wrong_with_a_token_is_named() {
        let changed = |change: &dyn Fn(&mut Value)| {
            let mut status = good();
            change(&mut status);
            judge(status).unwrap_err()
        };
        let expired =
            json!({"user": {}, "error": "[invalid bearer token, service account token has expired]"});
        assert!(judge(expired).unwrap_err().contains("service account token has expired"));
        assert!(judge(json!({})).unwrap_err().contains("does not know it"));
        let without = changed(&|status| status["audiences"] = Value::Null);
        assert!(without.contains("it is not for dragoman-identity"), "{without}");
        let other = changed(&|status| status["audiences"] = json!(["vault"]));
        assert!(other.contains("it is not for dragoman-identity"), "{other}");
        let person = changed(&|status| status["user"]["username"] = json!("jane"));
        assert!(person.contains("\"jane\" is no service account"), "{person}");
        let loose = changed(&|status| status["user"]["extra"] = json!({}));
        assert!(loose.contains("the token of travel/currency is not bound to a pod"), "{loose}");
        let talkative = judge(json!({"error": "x".repeat(10_000)})).unwrap_err();
        assert!(talkative.len() < 600, "{}", talkative.len());
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_reviews_are_under_way_and_the_next_one_is_sent_away() {
        type Never = std::future::Pending<Result<http::Response<String>, std::convert::Infallible>>;
        let silent = tower::service_fn(|_| -> Never { std::future::pending() });
        let reviewer = Reviewer::new(&Client::new(silent, "default"), "dragoman-identity".to_owned());
        let all = (0..=REVIEWS_MAX).map(|token| reviewer.review(token.to_string()));
        let refusals: Vec<Refusal> =
            futures_util::future::join_all(all).await.into_iter().map(Result::unwrap_err).collect();
        let busy = |refusal: &&Refusal| matches!(refusal, Refusal::Busy { again: AGAIN, .. });
        assert_eq!(refusals.iter().filter(busy).count(), 1);
        let late = |refusal: &&Refusal| refusal.to_string() == "the API server does not answer";
        assert_eq!(refusals.iter().filter(late).count(), REVIEWS_MAX);
    }
}

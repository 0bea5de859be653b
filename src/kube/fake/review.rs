//! What an API server says of tokens.

use std::collections::HashMap;

use serde_json::{Value, json};

/// A token that the API server knows.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) audience: String,
    pub(crate) namespace: String,
    pub(crate) account: String,
    /// Name and UID of the pod that it is bound to.
    pub(crate) pod: Option<(String, String)>,
}

/// The review with its status.
pub(super) fn review(tokens: &HashMap<String, Token>, mut review: Value) -> Value {
    let wanted: Vec<String> = serde_json::from_value(review["spec"]["audiences"].clone()).unwrap_or_default();
    let known = review["spec"]["token"].as_str().and_then(|token| tokens.get(token));
    review["status"] = match known {
        Some(token) if wanted.contains(&token.audience) => token.status(),
        Some(Token { audience, .. }) => {
            let error = format!(
                "[invalid bearer token, token audiences [\"{audience}\"] is invalid for the target audiences {wanted:?}]"
            );
            json!({"user": {}, "error": error})
        }
        None => {
            json!({"user": {}, "error": "[invalid bearer token, square/go-jose: error in cryptographic primitive]"})
        }
    };
    review
}

impl Token {
    fn status(&self) -> Value {
        let Self { audience, namespace, account, pod } = self;
        let mut extra = json!({"authentication.kubernetes.io/credential-id": ["JTI=0f3c9f3e-8a51-4f0c-b6a7-9a4f4f2d7c55"]});
        if let Some((name, uid)) = pod {
            extra["authentication.kubernetes.io/node-name"] = json!(["node-1"]);
            extra["authentication.kubernetes.io/pod-name"] = json!([name]);
            extra["authentication.kubernetes.io/pod-uid"] = json!([uid]);
        }
        json!({
            "authenticated": true,
            "user": {
                "username": format!("system:serviceaccount:{namespace}:{account}"),
                "uid": "7c6f3b1e-6c3f-4f55-9a45-6e2b0f6b8a10",
                "groups": ["system:serviceaccounts", format!("system:serviceaccounts:{namespace}"), "system:authenticated"],
                "extra": extra,
            },
            "audiences": [audience],
        })
    }
}

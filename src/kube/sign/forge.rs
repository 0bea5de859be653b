//! Tokens for tests: JWTs in the shape of those that a kubelet projects, signed by nobody.

use serde_json::json;

/// The token `name` for `audience` until `exp` (Unix seconds). The same words give the same token.
pub(crate) fn jwt(name: &str, audience: &str, exp: i64) -> String {
    let part = |text: &str| base64_simd::URL_SAFE_NO_PAD.encode_to_string(text);
    let head = json!({"alg": "RS256", "kid": "test"}).to_string();
    let claims = json!({"aud": [audience], "exp": exp, "iss": "https://kubernetes.default.svc", "jti": name});
    format!("{}.{}.{}", part(&head), part(&claims.to_string()), part("no signature"))
}

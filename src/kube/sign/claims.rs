//! What a token says of itself: a sieve before the API server is asked, and nothing more.
//!
//! Anybody can write such claims, so they are **never a reason to trust** a token: only its review is. They spare the API
//! server tokens that it can but refuse. Nobody is lost by it: tokens that are bound to a pod are always JWTs with an
//! audience and an end.

use serde::Deserialize;

/// The longest token, in bytes: one of Kubernetes has one or two thousand.
const TOKEN_MAX: usize = 16 << 10;
/// How far clocks may be apart, in seconds: as much as an API server itself allows.
const LEEWAY: i64 = 60;

/// What matters of the claims.
#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    aud: Audiences,
    /// Unix seconds, perhaps with a fraction.
    exp: f64,
}

/// One audience or several, as RFC 7519 has it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Several(Vec<String>),
}

/// Whether an API server may take a token for one of a pod, for `audience`, at `now` (Unix seconds); else why not.
pub(super) fn plausible(token: &str, audience: &str, now: i64) -> Result<(), String> {
    if token.len() > TOKEN_MAX {
        return Err(format!("it is longer than {TOKEN_MAX} bytes"));
    }
    let claims = claims(token).ok_or("it is no JWT of a service account: signed, and with an end")?;
    let ours = match &claims.aud {
        Audiences::One(one) => one == audience,
        Audiences::Several(all) => all.iter().any(|one| one == audience),
    };
    if !ours {
        return Err(format!("it is not for {audience}"));
    }
    #[expect(clippy::cast_precision_loss, reason = "exact until the year 285 million")]
    let earliest = (now - LEEWAY) as f64;
    // What is no number is not later either.
    if claims.exp > earliest { Ok(()) } else { Err("it has expired".to_owned()) }
}

/// The claims of a signed JWT: `header.claims.signature`.
fn claims(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (head, claims, signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || head.is_empty() || signature.is_empty() {
        return None;
    }
    let claims = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(claims).ok()?;
    serde_json::from_slice(&claims).ok()
}

impl Default for Audiences {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const US: &str = "dragoman-identity";
    const NOW: i64 = 1_800_000_000;

    fn jwt(claims: &Value) -> String {
        format!("e30.{}.c2ln", base64_simd::URL_SAFE_NO_PAD.encode_to_string(claims.to_string()))
    }

    fn judge(claims: &Value) -> Result<(), String> {
        plausible(&jwt(claims), US, NOW)
    }

    #[test]
    fn a_projected_token_passes() {
        // As an API server of 1.33 writes it.
        let bound = json!({
            "aud": [US], "exp": NOW + 43_200, "iat": NOW, "nbf": NOW, "iss": "https://kubernetes.default.svc.cluster.local",
            "jti": "0f3c9f3e-8a51-4f0c-b6a7-9a4f4f2d7c55", "sub": "system:serviceaccount:travel:currency",
            "kubernetes.io": {"namespace": "travel", "serviceaccount": {"name": "currency", "uid": "1"}},
        });
        assert_eq!(judge(&bound), Ok(()));
        assert_eq!(judge(&json!({"aud": US, "exp": NOW + 1})), Ok(()), "one audience alone");
        assert_eq!(judge(&json!({"aud": ["vault", US], "exp": 1.9e9})), Ok(()));
    }

    #[test]
    fn what_no_api_server_would_take_is_named() {
        let not_ours = Err("it is not for dragoman-identity".to_owned());
        assert_eq!(judge(&json!({"aud": ["vault"], "exp": NOW + 1})), not_ours);
        assert_eq!(judge(&json!({"exp": NOW + 1})), not_ours);
        assert_eq!(judge(&json!({"aud": [US], "exp": NOW - 59})), Ok(()), "clocks differ");
        assert_eq!(judge(&json!({"aud": [US], "exp": NOW - 60})), Err("it has expired".to_owned()));
        let no_jwt = Err("it is no JWT of a service account: signed, and with an end".to_owned());
        for claims in [
            json!({"aud": [US]}),
            json!({"aud": [US], "exp": "never"}),
            json!({"aud": 7, "exp": NOW + 1}),
            json!([]),
        ] {
            assert_eq!(judge(&claims), no_jwt, "{claims}");
        }
        let good = jwt(&json!({"aud": [US], "exp": NOW + 1}));
        let (rest, _) = good.rsplit_once('.').unwrap();
        let (_, claims) = rest.split_once('.').unwrap();
        let nested = base64_simd::URL_SAFE_NO_PAD.encode_to_string("[".repeat(10_000));
        for odd in [
            "",
            "token",
            "..",
            "a.b.c",
            rest,
            &format!("{good}.e30"),
            &format!("{rest}."),
            &format!(".{claims}.c2ln"),
            &format!("e30.{claims}=.c2ln"),
            &format!("e30.{nested}.c2ln"),
        ] {
            assert_eq!(plausible(odd, US, NOW), no_jwt, "{odd}");
        }
    }

    #[test]
    fn a_token_of_any_length_is_not_read() {
        let long = format!("{}.c2ln", jwt(&json!({"aud": [US], "exp": NOW + 1, "x": "x".repeat(13_000)})));
        assert_eq!(plausible(&long, US, NOW), Err("it is longer than 16384 bytes".to_owned()));
    }
}

//! The signatures of a card (specification §8.4): JWS with a detached payload, the canonical text of the card.
//!
//! Signers do not agree on that text, so each of its forms is tried. Members that the schema does not know are covered
//! by the plain form alone, and what is empty by that and the specified one; [`Verified::whole`] tells.

use super::canonical::{Form, NotCanonical, Tree};
use super::key::{Algorithm, Key, base64_url};

/// How many signatures of a card are looked at.
const SIGNATURES_MAX: usize = 16;

/// A signature that holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verified {
    /// The name that the configured key has, if it has one.
    pub key: Option<String>,
    /// How it was signed.
    pub algorithm: Algorithm,
    /// Whether the signature covers the text as it was sent, members that the schema does not know included.
    pub whole: bool,
}

/// Why a card is not trusted.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It has no text that could have been signed.
    #[error("the card cannot have been signed: {0}")]
    NotCanonical(#[from] NotCanonical),
    /// More signatures than anyone needs.
    #[error("the card has more than {SIGNATURES_MAX} signatures")]
    TooMany,
    /// None at all.
    #[error("the card is not signed")]
    Unsigned,
    /// None of them holds: why not, one by one.
    #[error("no signature of the card holds: {}", list(.0))]
    Untrusted(Vec<Flaw>),
}

/// What is wrong with one signature.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Flaw {
    /// `none`, or an algorithm that is not understood.
    #[error("alg {0:?} is none of ES256, EdDSA and RS256")]
    Algorithm(String),
    /// The header says what must be understood and is not.
    #[error("its header has crit, which asks for more than is understood")]
    Critical,
    /// No `protected` header that could be read, or no `signature`.
    #[error("it is no JWS: {0}")]
    Malformed(&'static str),
    /// It was made with another key, or over another card.
    #[error("{} by key {} matches the card and none of the configured keys", .0.as_str(), name(.1))]
    Mismatch(Algorithm, Option<String>),
    /// No key for that algorithm is configured.
    #[error("no key for {} is configured", .0.as_str())]
    NoKey(Algorithm),
}

fn name(key: &Option<String>) -> String {
    key.as_ref().map_or_else(|| "without a name".into(), |key| format!("{key:?}"))
}

fn list(flaws: &[Flaw]) -> String {
    flaws.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Checks that one of the card's signatures was made by one of the keys over this card, as the agent sent it.
///
/// # Errors
/// If it is not signed, not by one of the keys, or cannot be signed at all.
pub fn verify(original: &str, keys: &[Key]) -> Result<Verified, Refusal> {
    let card = Tree::of_card(original)?;
    let signatures = match card.get("signatures") {
        None | Some(Tree::Null) => return Err(Refusal::Unsigned),
        Some(Tree::List(signatures)) if signatures.is_empty() => return Err(Refusal::Unsigned),
        Some(Tree::List(signatures)) if signatures.len() > SIGNATURES_MAX => return Err(Refusal::TooMany),
        Some(Tree::List(signatures)) => signatures,
        Some(_) => return Err(Refusal::Untrusted(vec![Flaw::Malformed("signatures is no list")])),
    };
    let mut payloads: Vec<(Form, String)> = Vec::with_capacity(Form::ALL.len());
    for form in Form::ALL {
        let text = base64_simd::URL_SAFE_NO_PAD.encode_to_string(card.canonical(form)?);
        if !payloads.iter().any(|(_, other)| *other == text) {
            payloads.push((form, text));
        }
    }
    let mut flaws = Vec::new();
    for signature in signatures {
        match Signature::read(signature).and_then(|signature| signature.verify(&payloads, keys)) {
            Ok(verified) => return Ok(verified),
            Err(flaw) => flaws.push(flaw),
        }
    }
    Err(Refusal::Untrusted(flaws))
}

/// One element of `signatures`.
struct Signature<'a> {
    /// The header that is signed too, as it was written.
    protected: &'a str,
    algorithm: Algorithm,
    key: Option<String>,
    bytes: Vec<u8>,
}

impl<'a> Signature<'a> {
    fn read(tree: &'a Tree<'_>) -> Result<Self, Flaw> {
        let text = |name| tree.get(name).and_then(Tree::text);
        let protected = text("protected").ok_or(Flaw::Malformed("no protected header"))?;
        let bytes = text("signature").and_then(|text| base64_url(text.as_bytes()));
        let bytes = bytes.ok_or(Flaw::Malformed("its signature is no base64url"))?;
        let header = base64_url(protected.as_bytes()).and_then(|header| String::from_utf8(header).ok());
        let header = header.ok_or(Flaw::Malformed("its protected header is no base64url of a text"))?;
        let header = Tree::of_card(&header);
        let header = header.map_err(|_| Flaw::Malformed("its protected header is no JSON object"))?;
        if header.get("crit").is_some() {
            return Err(Flaw::Critical);
        }
        let algorithm = header.get("alg").and_then(Tree::text).unwrap_or_default();
        let algorithm = Algorithm::named(algorithm)
            .ok_or_else(|| Flaw::Algorithm(algorithm.chars().take(40).collect()))?;
        let key = header.get("kid").and_then(Tree::text).map(|key| key.chars().take(200).collect());
        Ok(Self { protected, algorithm, key, bytes })
    }

    /// A key that is called by name is tried alone; where no key has the name, all are.
    fn verify(&self, payloads: &[(Form, String)], keys: &[Key]) -> Result<Verified, Flaw> {
        let fitting: Vec<&Key> = keys.iter().filter(|key| key.algorithm() == self.algorithm).collect();
        if fitting.is_empty() {
            return Err(Flaw::NoKey(self.algorithm));
        }
        let called = |key: &&&Key| self.key.is_some() && key.id() == self.key.as_deref();
        let by_name: Vec<&Key> = fitting.iter().filter(called).copied().collect();
        for key in if by_name.is_empty() { fitting } else { by_name } {
            for (form, payload) in payloads {
                let message = format!("{}.{payload}", self.protected);
                if key.has_signed(message.as_bytes(), &self.bytes) {
                    let whole = *form == Form::Plain;
                    return Ok(Verified {
                        key: key.id().map(str::to_owned),
                        algorithm: self.algorithm,
                        whole,
                    });
                }
            }
        }
        Err(Flaw::Mismatch(self.algorithm, self.key.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made with the Python SDK a2a-sdk 1.3.0 (`a2a.utils.signing`) and PyJWT; the private keys are gone.
    const ES256: &str = include_str!("../../tests/golden/cards/sdk-es256.json");
    const EDDSA: &str = include_str!("../../tests/golden/cards/sdk-eddsa.json");
    const RS256: &str = include_str!("../../tests/golden/cards/sdk-rs256.json");
    const HYBRID: &str = include_str!("../../tests/golden/cards/sdk-hybrid.json");
    const SPEC: &str = include_str!("../../tests/golden/cards/spec-eddsa.json");
    const PLAIN: &str = include_str!("../../tests/golden/cards/plain-rs256.json");

    fn keys() -> Vec<Key> {
        Key::read(include_str!("../../tests/golden/cards/keys.jwks")).unwrap()
    }

    fn refusal(json: &str, keys: &[Key]) -> String {
        verify(json, keys).unwrap_err().to_string()
    }

    /// A card with the signature of another one, or with a header of its own.
    fn signed(protected: &str) -> String {
        let protected = base64_simd::URL_SAFE_NO_PAD.encode_to_string(protected);
        format!(r#"{{"name":"A","signatures":[{{"protected":"{protected}","signature":"AAAA"}}]}}"#)
    }

    #[test]
    fn cards_that_the_official_sdk_signed_are_trusted() {
        let verified = |key: &str, algorithm, whole| Verified { key: Some(key.into()), algorithm, whole };
        for (json, expected) in [
            (ES256, verified("es256-1", Algorithm::Es256, false)),
            (EDDSA, verified("eddsa-1", Algorithm::EdDsa, false)),
            (RS256, verified("rs256-1", Algorithm::Rs256, false)),
            // Signed with a key ID that nobody knows, and served with members of 0.3 beside.
            (HYBRID, verified("es256-1", Algorithm::Es256, false)),
            (SPEC, verified("eddsa-1", Algorithm::EdDsa, false)),
            (PLAIN, verified("rs256-1", Algorithm::Rs256, true)),
        ] {
            assert_eq!(verify(json, &keys()).unwrap(), expected);
        }
    }

    #[test]
    fn a_key_without_a_name_is_tried_too() {
        for (json, pem) in [
            (ES256, include_str!("../../tests/golden/cards/es256.pem")),
            (EDDSA, include_str!("../../tests/golden/cards/eddsa.pem")),
            (RS256, include_str!("../../tests/golden/cards/rs256.pem")),
        ] {
            assert_eq!(verify(json, &Key::read(pem).unwrap()).unwrap().key, None);
        }
    }

    #[test]
    fn a_card_that_was_changed_is_refused() {
        for (json, from, to) in [
            (ES256, "\"Convert\"", "\"Invert\""),
            (EDDSA, "localhost:9000/rpc", "localhost:9000/rps"),
            (RS256, "\"streaming\": false", "\"streaming\": true"),
            (SPEC, "\"documentationUrl\": \"\"", "\"documentationUrl\": null"),
            (PLAIN, "\"future\"", "\"futur\""),
        ] {
            assert!(json.contains(from));
            let why = refusal(&json.replacen(from, to, 1), &keys());
            assert!(why.contains("matches the card and none of the configured keys"), "{why}");
        }
    }

    #[test]
    fn a_signature_that_cannot_be_trusted_is_refused_with_its_reason() {
        let only_rsa: Vec<Key> =
            keys().into_iter().filter(|key| key.algorithm() == Algorithm::Rs256).collect();
        for (json, reason) in [
            (r#"{"name":"A"}"#.to_owned(), "the card is not signed"),
            (r#"{"signatures":[]}"#.into(), "the card is not signed"),
            (r#"{"signatures":null}"#.into(), "the card is not signed"),
            (r#"{"signatures":7}"#.into(), "signatures is no list"),
            (r#"{"signatures":[{}]}"#.into(), "no protected header"),
            (
                r#"{"signatures":[{"protected":"e30","signature":"A"}]}"#.into(),
                "its signature is no base64url",
            ),
            (r#"{"signatures":[{"protected":"!","signature":""}]}"#.into(), "no base64url of a text"),
            (signed("[]"), "its protected header is no JSON object"),
            (signed(r#"{"alg":"none"}"#), "alg \"none\" is none of ES256, EdDSA and RS256"),
            (signed(r#"{"alg":"HS256"}"#), "alg \"HS256\" is none of"),
            (signed(r#"{"kid":"a"}"#), "alg \"\" is none of"),
            (signed(r#"{"alg":"RS256","crit":["b64"],"b64":false}"#), "crit"),
            (signed(r#"{"alg":"EdDSA"}"#), "no key for EdDSA is configured"),
            (signed(r#"{"alg":"RS256","kid":"x"}"#), "RS256 by key \"x\" matches the card and none"),
            ("[]".into(), "not a JSON object"),
            ("<html>".into(), "not JSON"),
            (
                r#"{"n":9007199254740993,"signatures":[{}]}"#.into(),
                "no double is the number 9007199254740993",
            ),
            (format!(r#"{{"signatures":[{}]}}"#, ["{}"; 17].join(",")), "more than 16 signatures"),
        ] {
            let why = refusal(&json, &only_rsa);
            assert!(why.contains(reason), "{json}: {why}");
        }
    }

    #[test]
    fn one_signature_that_holds_is_enough() {
        let bad = r#""signatures": [{"protected":"e30","signature":""},"#;
        let two = ES256.replacen("\"signatures\": [", bad, 1);
        assert!(verify(&two, &keys()).is_ok());
    }
}

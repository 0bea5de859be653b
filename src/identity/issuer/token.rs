//! The service account token: read from its file each time, because the kubelet replaces it, and never shown.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::identity::date;

/// The longest token that is sent, in bytes.
const TOKEN_MAX: u64 = 64 << 10;

/// A token, a secret.
pub struct Token(String);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("{}: {cause}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The file holds something else.
    #[error("{} holds no token: {what}", path.display())]
    None {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl Token {
    /// Reads the token in a file.
    ///
    /// # Errors
    ///
    /// When there is none; nothing of what is there is shown.
    pub async fn read(path: &Path) -> Result<Self, TokenError> {
        let wrong = |cause| TokenError::Io { path: path.to_owned(), cause };
        let none = |what| TokenError::None { path: path.to_owned(), what };
        let about = tokio::fs::metadata(path).await.map_err(wrong)?;
        if !about.is_file() || about.len() > TOKEN_MAX {
            return Err(none("it is no file of at most 64 KiB"));
        }
        let bytes = tokio::fs::read(path).await.map_err(wrong)?;
        let text = bytes.trim_ascii();
        if text.is_empty() {
            return Err(none("it is empty"));
        }
        match String::from_utf8(text.to_vec()) {
            Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Self(text)),
            _ => Err(none("it has characters that no token has")),
        }
    }

    /// The token itself, to be sent. A secret.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// What the token says of itself, for who wonders why it is not accepted: whom it is for and until when, beside the time
    /// that it is here. None of it is believed.
    pub(super) fn describe(&self, now: i64) -> String {
        let now = date(now);
        let Some(claims) = self.claims() else {
            return format!("it is no JWT; the time here is {now}");
        };
        let audiences = match &claims["aud"] {
            Value::String(one) => one.clone(),
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
            _ => "nobody".to_owned(),
        };
        let until = claims["exp"]
            .as_i64()
            .map_or_else(|| "for ever".to_owned(), |until| format!("until {}", date(until)));
        format!("it is for {audiences} and valid {until}; the time here is {now}")
    }

    fn claims(&self) -> Option<Value> {
        let payload = self.0.split('.').nth(1)?;
        let json = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(payload).ok()?;
        serde_json::from_slice(&json).ok()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::forge::NOW;

    async fn read(content: &[u8]) -> Result<Token, TokenError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, content).unwrap();
        Token::read(file.path()).await
    }

    #[tokio::test]
    async fn a_token_is_what_stands_in_the_file() {
        let token = read(b"abc.def.ghi\n").await.unwrap();
        assert_eq!((token.secret(), format!("{token:?}")), ("abc.def.ghi", "Token".to_owned()));
        for wrong in [&b""[..], b" \n", b"a b", b"\xff", &[b'x'; 70_000]] {
            let error = read(wrong).await.unwrap_err().to_string();
            assert!(error.contains(" holds no token: "), "{error}");
        }
        let error = Token::read(Path::new("/nowhere/token")).await.unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/token: "), "{error}");
    }

    #[test]
    fn a_token_says_whom_it_is_for_and_until_when() {
        let token =
            |claims: &str| Token(format!("x.{}.sig", base64_simd::URL_SAFE_NO_PAD.encode_to_string(claims)));
        let text = token(&format!(r#"{{"aud":["a","b"],"exp":{NOW}}}"#)).describe(NOW + 60);
        assert_eq!(
            text,
            "it is for a, b and valid until Fri, 15 Jan 2027 08:00:00 GMT; the time here is Fri, 15 Jan 2027 08:01:00 GMT"
        );
        assert!(token(r#"{"aud":"a"}"#).describe(NOW).starts_with("it is for a and valid for ever"));
        assert!(token("[]").describe(NOW).starts_with("it is for nobody"));
        let text = Token("secret".to_owned()).describe(NOW);
        assert!(text.starts_with("it is no JWT") && !text.contains("secret"), "{text}");
    }
}

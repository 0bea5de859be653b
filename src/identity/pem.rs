//! Certificates as text (PEM, RFC 7468).

use pem::{EncodeConfig, LineEnding, Pem};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

/// Writes certificates one behind the other.
#[must_use]
pub fn write<'a, 'b: 'a>(certificates: impl IntoIterator<Item = &'a CertificateDer<'b>>) -> String {
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    let one = |der: &CertificateDer<'_>| pem::encode_config(&Pem::new("CERTIFICATE", der.to_vec()), config);
    certificates.into_iter().map(one).collect()
}

/// Every certificate in a text. Only a text of nothing but white space may hold none.
///
/// # Errors
///
/// What is wrong. Nothing of the text is quoted: it may hold a key beside the certificates.
pub fn read(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let found = found.map_err(|_| "its PEM is broken or cut off")?;
    if found.is_empty() && !text.trim_ascii().is_empty() {
        return Err("it holds no certificate in PEM");
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::forge::root;

    #[test]
    fn what_is_written_is_read_again() {
        let certificates = [root("a.test").der().clone(), root("b.test").der().clone()];
        let text = write(&certificates);
        assert!(text.starts_with("-----BEGIN CERTIFICATE-----\n") && text.ends_with("-----\n"));
        assert_eq!(read(text.as_bytes()).unwrap(), certificates);
    }

    #[test]
    fn only_white_space_may_hold_nothing() {
        assert_eq!(read(b" \n"), Ok(Vec::new()));
        assert!(read(b"x").is_err());
        assert!(read(b"-----BEGIN CERTIFICATE-----\nMIIB").is_err());
    }
}

//! `dragoman certs`: a certificate authority on disk, for tests and small meshes.

use serde_json::json;

use super::{Certs, Failure, print};
use crate::identity::authority::LEAF_LIFETIME;
use crate::identity::{Authority, Clock, SpiffeId, TrustDomain};

/// Makes an authority, or has one issue a certificate.
pub(super) fn run(command: Certs) -> Result<(), Failure> {
    let now = Clock::system().now();
    match command {
        Certs::Ca { trust_domain, out, json } => {
            let domain = TrustDomain::parse(&trust_domain)
                .map_err(|error| Failure::usage(format!("--trust-domain {trust_domain}: {error}")))?;
            let authority = Authority::new(&domain, now).map_err(Failure::operation)?;
            authority.save(&out).map_err(Failure::operation)?;
            let human = format!("{}: the authority of {domain} (ca.crt, ca.key)", out.display());
            tell(json, &json!({"trustDomain": trust_domain, "dir": out}), &human)
        }
        Certs::Issue { ca, id, dns, out, json } => {
            let spiffe =
                SpiffeId::parse(&id).map_err(|error| Failure::usage(format!("--id {id}: {error}")))?;
            let authority = Authority::load(&ca).map_err(Failure::operation)?;
            let names: Vec<&str> = dns.iter().map(String::as_str).collect();
            let issued = authority.issue(&spiffe, &names, LEAF_LIFETIME, now).map_err(Failure::operation)?;
            issued.save(&out).map_err(Failure::operation)?;
            let human = format!(
                "{}: a certificate for {id}, good for a day (tls.crt, tls.key, ca.crt)",
                out.display()
            );
            tell(json, &json!({"id": id, "dns": dns, "dir": out}), &human)
        }
    }
}

fn tell(json: bool, value: &serde_json::Value, human: &str) -> Result<(), Failure> {
    if json { print(&value.to_string()) } else { print(human) }
}

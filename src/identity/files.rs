//! Identity from a directory: what Kubernetes Secrets, cert-manager's CSI driver, projected volumes and the SPIFFE
//! filesystem delivery put there.
//!
//! - Own chain and key: `tls.crt` and `tls.key`; without these, one file with both: `credential-bundle.private-key.x509.pem`,
//!   `credential-bundle.private-key.pem` or `credential-bundle.pem`, the first that is there.
//! - Bundles: `<trust-domain>.spiffe-trust-bundle.x509.pem`, `<trust-domain>.spiffe-trust-bundle.pem` or
//!   `<trust-domain>.trust-bundle.pem`, the first that is there for each trust domain; for the own one, without these,
//!   `ca.crt`. A bundle that is not there any more is not believed any more.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io,
    path::{Path, PathBuf},
};

use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{Error as PemError, PemObject as _},
};

use super::{Bundle, IdError, Material, MaterialError, RootError, TrustDomain, material::own, pem};

mod set;
mod watch;

use set::Set;
pub use watch::watch;

const CHAIN: &str = "tls.crt";
const KEY: &str = "tls.key";
const OWN_BUNDLE: &str = "ca.crt";
/// Key and chain in one file: the name that the SPIFFE draft settled on, then those that it had before.
const CREDENTIALS: [&str; 3] =
    ["credential-bundle.private-key.x509.pem", "credential-bundle.private-key.pem", "credential-bundle.pem"];
/// What stands behind a trust domain in the name of its bundle: as above.
const BUNDLES: [&str; 3] = [".spiffe-trust-bundle.x509.pem", ".spiffe-trust-bundle.pem", ".trust-bundle.pem"];

/// Why a directory is no identity.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The name of a bundle file begins with something that is no trust domain.
    #[error("{}: {cause}", path.display())]
    Domain {
        /// Which file.
        path: PathBuf,
        /// What is wrong with its name.
        cause: IdError,
    },
    /// A file cannot be read.
    #[error("{}: {cause}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// What is read does not fit together.
    #[error("{}: {cause}", path.display())]
    Material {
        /// The file with the own chain.
        path: PathBuf,
        /// What does not fit.
        cause: MaterialError,
    },
    /// A file that must be there is not.
    #[error("{} is missing", .0.display())]
    Missing(PathBuf),
    /// The own trust domain has no bundle.
    #[error("{} is missing, and so is {domain}.trust-bundle.pem", path.display())]
    MissingBundle {
        /// The usual name of the own bundle.
        path: PathBuf,
        /// The own trust domain.
        domain: TrustDomain,
    },
    /// The files were replaced each time they were being read.
    #[error("{}: the files change faster than they can be read", .0.display())]
    Moving(PathBuf),
    /// A file is not in PEM, or does not hold what it should.
    #[error("{}: {what}", path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A bundle holds something that is no root of its trust domain.
    #[error("{}: {cause}", path.display())]
    Root {
        /// Which file.
        path: PathBuf,
        /// Which certificate, and what is wrong with it.
        cause: RootError,
    },
    /// A file is larger than any of its kind should be.
    #[error("{} is larger than 1 MiB", .0.display())]
    TooLarge(PathBuf),
}

/// Reads the identity in `dir` for a workload of `trust_domain`, as of `now` (Unix seconds). Blocks on files.
///
/// # Errors
///
/// Names the file and what is wrong with it.
pub fn load(dir: &Path, trust_domain: &TrustDomain, now: i64) -> Result<Material, LoadError> {
    material(&Set::read(dir)?, trust_domain, now)
}

/// Whether a directory entry of this name is any of ours.
fn is_known(name: &str) -> bool {
    [CHAIN, KEY, OWN_BUNDLE].contains(&name) || CREDENTIALS.contains(&name) || bundle_of(name).is_some()
}

/// Takes the name of a bundle file apart: the trust domain, and how far down the list its form of name is.
fn bundle_of(name: &str) -> Option<(&str, usize)> {
    BUNDLES.iter().enumerate().find_map(|(rank, suffix)| Some((name.strip_suffix(suffix)?, rank)))
}

/// The files of a directory as material.
fn material(set: &Set, domain: &TrustDomain, now: i64) -> Result<Material, LoadError> {
    let (chain_name, key_name) = credentials(set)?;
    let chain = certificates(set, chain_name)?;
    let wrong = |name, cause| LoadError::Material { path: set.path(name), cause };
    own(domain, &chain).map_err(|cause| wrong(chain_name, cause))?;
    let bundles = bundles(set, domain)?;
    let key = PrivateKeyDer::from_pem_slice(set.get(key_name)?).map_err(|error| LoadError::Pem {
        path: set.path(key_name),
        // The error may quote the line that it stumbled over, and this file is a secret.
        what: match error {
            PemError::NoItemsFound => "it holds no private key".to_owned(),
            _ => "its PEM is broken or cut off".to_owned(),
        },
    })?;
    if !bundles.contains_key(domain) {
        return Err(LoadError::MissingBundle { path: set.path(OWN_BUNDLE), domain: domain.clone() });
    }
    Material::new(domain, chain, key, bundles, now).map_err(|cause| match cause {
        MaterialError::Key(_) | MaterialError::KeyMismatch => wrong(key_name, cause),
        _ => wrong(chain_name, cause),
    })
}

/// The names of the files with the own chain and the own key.
fn credentials(set: &Set) -> Result<(&'static str, &'static str), LoadError> {
    match (set.has(CHAIN), set.has(KEY), CREDENTIALS.iter().find(|name| set.has(name))) {
        (true, true, _) => Ok((CHAIN, KEY)),
        (false, false, Some(both)) => Ok((both, both)),
        (true, false, _) => Err(LoadError::Missing(set.path(KEY))),
        (false, ..) => Err(LoadError::Missing(set.path(CHAIN))),
    }
}

/// Every trust domain's bundle, each from the first of its files.
fn bundles(set: &Set, own: &TrustDomain) -> Result<BTreeMap<TrustDomain, Bundle>, LoadError> {
    let mut files = BTreeMap::new();
    if set.has(OWN_BUNDLE) {
        files.insert(own.clone(), (BUNDLES.len(), OWN_BUNDLE));
    }
    for name in set.names() {
        let Some((domain, rank)) = bundle_of(name) else { continue };
        let domain =
            TrustDomain::parse(domain).map_err(|cause| LoadError::Domain { path: set.path(name), cause })?;
        match files.entry(domain) {
            Entry::Occupied(mut first) if rank < first.get().0 => {
                first.insert((rank, name));
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(none) => {
                none.insert((rank, name));
            }
        }
    }
    let mut bundles = BTreeMap::new();
    for (domain, (_, name)) in files {
        let roots = certificates(set, name)?;
        let bundle =
            Bundle::new(&domain, roots).map_err(|cause| LoadError::Root { path: set.path(name), cause })?;
        // Kubernetes writes an empty file for an optional bundle that is not there: the same as none.
        if !bundle.roots().is_empty() {
            bundles.insert(domain, bundle);
        }
    }
    Ok(bundles)
}

/// Every certificate in a file. Only a file of nothing but white space may hold none.
fn certificates(set: &Set, name: &str) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    // A credential bundle is a secret too: nothing of what broke is quoted.
    let wrong = |what: &str| LoadError::Pem { path: set.path(name), what: what.to_owned() };
    pem::read(set.get(name)?).map_err(wrong)
}

#[cfg(test)]
mod tests;

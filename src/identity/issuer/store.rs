//! The directory that keeps the latest bundles over a restart, one `<trust-domain>.trust-bundle.pem` each. Bundles are no
//! secrets; keys never come here.

use std::{fs, io, path::Path};

use crate::identity::{Bundle, Bundles, TrustDomain, pem, replace::replace};

const SUFFIX: &str = ".trust-bundle.pem";

/// The bundle of `domain` that was kept, if one was. Blocks on files.
pub(super) fn recall(dir: &Path, domain: &TrustDomain) -> Result<Option<Bundle>, String> {
    let path = dir.join(format!("{domain}{SUFFIX}"));
    let wrong = |what: &dyn ToString| format!("{}: {}", path.display(), what.to_string());
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(&error)),
    };
    let roots = pem::read(&text).map_err(|what| wrong(&what))?;
    let bundle = Bundle::new(domain, roots).map_err(|error| wrong(&error))?;
    Ok(Some(bundle).filter(|bundle| !bundle.roots().is_empty()))
}

/// Keeps `bundles`, and none of those that were kept before. Blocks on files.
pub(super) fn keep(dir: &Path, bundles: &Bundles) -> io::Result<()> {
    for (domain, bundle) in bundles {
        replace(dir, &format!("{domain}{SUFFIX}"), &bundle.to_pem(), 0o644)?;
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let domain = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
        let domain = domain.and_then(|domain| TrustDomain::parse(domain).ok());
        if domain.is_some_and(|domain| !bundles.contains_key(&domain)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::forge::{bundles, domain, root};

    #[test]
    fn what_is_kept_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let (a, b) = (root("a.test"), root("b.test"));
        assert_eq!(recall(&state, &domain("a.test")), Ok(None));
        let both = bundles(&[("a.test", &a), ("b.test", &b)]);
        keep(&state, &both).unwrap();
        assert_eq!(recall(&state, &domain("a.test")).unwrap().as_ref(), both.get(&domain("a.test")));
        fs::write(state.join("unrelated"), "x").unwrap();
        keep(&state, &bundles(&[("a.test", &a)])).unwrap();
        assert_eq!(recall(&state, &domain("b.test")), Ok(None));
        assert!(state.join("unrelated").exists());
    }

    #[test]
    fn what_is_broken_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.test.trust-bundle.pem");
        fs::write(&path, "x").unwrap();
        let error = recall(dir.path(), &domain("a.test")).unwrap_err();
        assert!(error.contains("a.test.trust-bundle.pem: it holds no certificate"), "{error}");
        fs::write(&path, root("b.test").pem()).unwrap();
        assert!(recall(dir.path(), &domain("a.test")).unwrap_err().contains("b.test"));
        fs::write(&path, "").unwrap();
        assert_eq!(recall(dir.path(), &domain("a.test")), Ok(None));
        assert!(keep(&path, &bundles(&[("a.test", &root("a.test"))])).is_err(), "a file is no directory");
    }
}

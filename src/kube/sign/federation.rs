//! The bundles of other meshes: PEM files that somebody keeps, polled because a mounted ConfigMap may change or vanish without
//! a sign.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{sync::watch, time::sleep};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    identity::{Bundle, Bundles, TrustDomain, pem},
    task,
};

/// How often the files are read.
const POLL: Duration = Duration::from_secs(30);

/// The files, and what they held when they were good last.
struct Files {
    paths: Vec<(TrustDomain, PathBuf)>,
    good: HashMap<PathBuf, Bundle>,
    /// What was wrong the last time, so that the log says it once.
    complaints: HashMap<PathBuf, String>,
}

/// Keeps the bundles of these files up to date. The first reading is done when this returns; it blocks on files. The task ends with
/// the handle.
pub(super) fn watch(paths: Vec<(TrustDomain, PathBuf)>) -> (watch::Receiver<Bundles>, AbortOnDropHandle<()>) {
    let mut files = Files { paths, good: HashMap::new(), complaints: HashMap::new() };
    let (bundles_tx, bundles) = watch::channel(files.read());
    let polling = task::spawn(async move {
        while !files.paths.is_empty() {
            sleep(POLL).await;
            let read = tokio::task::spawn_blocking(move || (files.read(), files)).await;
            // Only a runtime that shuts down gives up a reading.
            let Ok((bundles, returned)) = read else { return };
            files = returned;
            bundles_tx.send_if_modified(|known| {
                let news = *known != bundles;
                *known = bundles;
                news
            });
        }
        // Who waits for a change would otherwise be told that there is no one to change anything.
        std::future::pending::<()>().await;
    });
    (bundles, polling)
}

impl Files {
    /// Every file's bundle. One that is broken keeps its last good content, one that is gone or empty has none.
    fn read(&mut self) -> Bundles {
        let mut roots = BTreeMap::new();
        for (domain, path) in &self.paths {
            match read(path, domain) {
                Ok(Some(bundle)) => {
                    self.complaints.remove(path);
                    self.good.insert(path.clone(), bundle);
                }
                Ok(None) => {
                    self.complaints.remove(path);
                    if self.good.remove(path).is_some() {
                        tracing::warn!(path = %path.display(), %domain, "A trust domain is not believed any more");
                    }
                }
                Err(reason) => {
                    let before = self.complaints.insert(path.clone(), reason.clone());
                    if before.as_ref() != Some(&reason) {
                        tracing::warn!(reason, %domain, "A bundle is not read, the last good one stays");
                    }
                }
            }
            if let Some(bundle) = self.good.get(path) {
                let known: &mut Vec<_> = roots.entry(domain.clone()).or_default();
                known.extend(bundle.roots().iter().cloned());
            }
        }
        let bundle = |(domain, roots)| Some((TrustDomain::clone(&domain), Bundle::new(&domain, roots).ok()?));
        // Each was a bundle of this domain before, so together they are one.
        roots.into_iter().filter_map(bundle).collect()
    }
}

fn read(path: &Path, domain: &TrustDomain) -> Result<Option<Bundle>, String> {
    let wrong = |what: &dyn ToString| format!("{}: {}", path.display(), what.to_string());
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(&error)),
    };
    let roots = pem::read(&text).map_err(|what| wrong(&what))?;
    let bundle = Bundle::new(domain, roots).map_err(|error| wrong(&error))?;
    Ok(Some(bundle).filter(|bundle| !bundle.roots().is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::forge::{domain, root};

    #[tokio::test(start_paused = true)]
    async fn a_file_that_changes_breaks_or_vanishes_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("west.pem");
        let (one, two) = (root("b.test"), root("b.test"));
        let (mut bundles, _polling) = watch(vec![(domain("b.test"), path.clone())]);
        assert!(bundles.borrow_and_update().is_empty(), "it is not there yet");
        let roots = |bundles: &Bundles| bundles.get(&domain("b.test")).map(|bundle| bundle.roots().len());
        fs::write(&path, one.pem()).unwrap();
        bundles.changed().await.unwrap();
        assert_eq!(roots(&bundles.borrow_and_update()), Some(1));
        fs::write(&path, one.pem() + &two.pem()).unwrap();
        bundles.changed().await.unwrap();
        assert_eq!(roots(&bundles.borrow_and_update()), Some(2));
        for broken in ["x".to_owned(), root("c.test").pem()] {
            fs::write(&path, broken).unwrap();
            sleep(POLL * 2).await;
            assert!(!bundles.has_changed().unwrap(), "the last good one stays");
        }
        fs::remove_file(&path).unwrap();
        bundles.changed().await.unwrap();
        assert!(bundles.borrow_and_update().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn two_meshes_of_one_trust_domain_have_their_roots_together() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["one", "two"].map(|name| (domain("b.test"), dir.path().join(name)));
        for (_, path) in &paths {
            fs::write(path, root("b.test").pem()).unwrap();
        }
        let (bundles, _polling) = watch(paths.into());
        assert_eq!(bundles.borrow()[&domain("b.test")].roots().len(), 2);
    }
}

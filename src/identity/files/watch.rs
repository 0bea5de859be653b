//! The task that keeps an identity up to date with its directory.
//!
//! The directory is watched, never a file in it: a file's watch dies with the first rotation. And since events can get
//! lost altogether, everything is read anew every half minute as well: no event never means no change.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use tokio::{
    sync::{Notify, watch as channel},
    time::sleep,
};
use tokio_util::task::AbortOnDropHandle;

use super::{LoadError, material, set::Set};
use crate::{
    identity::{Clock, Material, Metrics, Publisher, State, TrustDomain},
    task,
};

/// How often the directory is read without being told to.
const POLL: Duration = Duration::from_secs(30);
/// The same, while there is no identity at all and a pod waits for it.
const POLL_MISSING: Duration = Duration::from_secs(1);
/// How long files may take to get complete after the first sign of change.
const SETTLE: Duration = Duration::from_millis(100);

/// Keeps the identity in `dir`, for a workload of `trust_domain`, up to date. The task ends with the handle; the state is
/// [`State::Missing`] until a first complete set of files was there, and never again after.
pub fn watch(
    dir: PathBuf,
    trust_domain: TrustDomain,
    clock: Clock,
    metrics: Metrics,
) -> (channel::Receiver<State>, AbortOnDropHandle<()>) {
    start(Keeper::new(dir, trust_domain, clock, metrics), Some(Eye::default()))
}

/// Starts the task, with or without an eye on the directory.
fn start(keeper: Keeper, eye: Option<Eye>) -> (channel::Receiver<State>, AbortOnDropHandle<()>) {
    let states = keeper.publisher.subscribe();
    (states, task::spawn(keeper.run(eye)))
}

/// Reads, compares, publishes.
struct Keeper {
    dir: PathBuf,
    domain: TrustDomain,
    clock: Clock,
    publisher: Publisher,
    /// The fingerprint of the files that were published last.
    published: Option<[u8; 32]>,
}

/// What one reading brings.
type Reading = Result<([u8; 32], Material), LoadError>;

impl Keeper {
    fn new(dir: PathBuf, domain: TrustDomain, clock: Clock, metrics: Metrics) -> Self {
        let publisher = Publisher::new(format!("{} has not been read yet", dir.display()), metrics);
        Self { dir, domain, clock, publisher, published: None }
    }

    async fn run(mut self, mut eye: Option<Eye>) {
        let changed = eye.as_ref().map_or_else(Arc::default, |eye| Arc::clone(&eye.changed));
        loop {
            let (dir, domain, now) = (self.dir.clone(), self.domain.clone(), self.clock.now());
            let read = tokio::task::spawn_blocking(move || {
                // First watch, then read: what changes after the reading is seen.
                if let Some(eye) = &mut eye {
                    eye.open(&dir);
                }
                (read(&dir, &domain, now), eye)
            });
            match read.await {
                Ok((reading, returned)) => {
                    eye = returned;
                    self.take(reading);
                }
                // Only a runtime that shuts down gives up a reading.
                Err(error) => return tracing::error!(%error, "Identity is not read any more"),
            }
            let pause = if self.published.is_some() { POLL } else { POLL_MISSING };
            tokio::select! {
                () = changed.notified() => sleep(SETTLE).await,
                () = sleep(pause) => {}
            }
        }
    }

    /// Publishes what was read, if it is new and good.
    fn take(&mut self, reading: Reading) {
        match reading {
            Ok((digest, _)) if self.published == Some(digest) => self.publisher.content(),
            Ok((digest, material)) => {
                self.published = Some(digest);
                self.publisher.publish(material);
            }
            Err(error) => self.publisher.refuse(error.to_string()),
        }
    }
}

fn read(dir: &Path, domain: &TrustDomain, now: i64) -> Reading {
    let set = Set::read(dir)?;
    Ok((set.digest(), material(&set, domain, now)?))
}

/// The watch on a directory. It may fail at any time; the polling does not depend on it.
#[derive(Default)]
struct Eye {
    changed: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
    /// Whether the log says that it is closed.
    complained: bool,
}

impl Eye {
    /// Watches `dir`, also if it is another one than the last time this name was seen.
    fn open(&mut self, dir: &Path) {
        match self.try_open(dir) {
            Ok(()) => self.complained = false,
            Err(error) => {
                if !self.complained {
                    tracing::warn!(dir = %dir.display(), %error, "Directory not watched, only polled");
                }
                self.complained = true;
                self.watcher = None;
            }
        }
    }

    fn try_open(&mut self, dir: &Path) -> notify::Result<()> {
        let watcher = match &mut self.watcher {
            Some(watcher) => watcher,
            None => {
                let changed = Arc::clone(&self.changed);
                self.watcher.insert(notify::recommended_watcher(move |event| {
                    if is_change(&event) {
                        changed.notify_one();
                    }
                })?)
            }
        };
        watcher.watch(dir, RecursiveMode::NonRecursive)
    }
}

/// Whether an event may mean new content. Our own reading causes events too.
fn is_change(event: &notify::Result<Event>) -> bool {
    match event {
        Ok(event) => match event.kind {
            EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
            _ => true,
        },
        // Something got lost, so look.
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests;

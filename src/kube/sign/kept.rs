//! One object that is watched, and written by whoever was first to see its latest version.

use std::fmt;

use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use kube::{
    Api,
    api::PostParams,
    runtime::{WatchStreamExt as _, watcher},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::kube::why;
use crate::net::describe;

/// An object, as far as is known.
pub(super) struct Kept<K> {
    /// What errors call it.
    what: String,
    name: String,
    api: Api<K>,
    seen: Seen<K>,
    watch: BoxStream<'static, watcher::Result<Option<K>>>,
}

enum Seen<K> {
    Unknown,
    Absent,
    There(Box<K>),
}

/// The API server does not do what it is asked for.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {cause}")]
pub(super) struct Failed {
    what: String,
    cause: String,
}

impl<K> Kept<K>
where
    K: kube::Resource + Clone + fmt::Debug + DeserializeOwned + Serialize + Send + 'static,
{
    /// Nothing is known yet.
    pub(super) fn new(api: Api<K>, kind: &str, name: &str) -> Self {
        // A watch has no end; were it to end, there would be nothing to hear any more.
        let watch = watcher::watch_object(api.clone(), name).default_backoff();
        Self {
            what: format!("{kind} {name}"),
            name: name.to_owned(),
            api,
            seen: Seen::Unknown,
            watch: watch.chain(stream::pending()).boxed(),
        }
    }

    /// Waits for news, and knows them then.
    pub(super) async fn hear(&mut self) -> Result<(), Failed> {
        match self.watch.next().await {
            Some(Ok(object)) => {
                self.see(object);
                Ok(())
            }
            // Watches break every now and then, and are made anew. Only a first one that fails keeps us from anything.
            Some(Err(cause)) if self.is_unknown() => Err(self.failed(watch_error(&cause))),
            Some(Err(cause)) => {
                tracing::debug!(what = self.what, cause = watch_error(&cause), "A watch broke");
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Whether nothing is known yet, not even that there is none.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self.seen, Seen::Unknown)
    }

    /// The object, if there is one.
    pub(super) fn there(&self) -> Option<&K> {
        match &self.seen {
            Seen::There(object) => Some(object),
            Seen::Unknown | Seen::Absent => None,
        }
    }

    /// The version that is known.
    pub(super) fn version(&self) -> Option<String> {
        self.there().and_then(|object| object.meta().resource_version.clone())
    }

    /// Asks how it is now.
    pub(super) async fn read(&mut self) -> Result<(), Failed> {
        match self.api.get_opt(&self.name).await {
            Ok(object) => {
                self.see(object);
                Ok(())
            }
            Err(cause) => Err(self.failed(why(&cause))),
        }
    }

    /// Writes it, in the place of the version that is known if there is one. False if somebody else was faster: then that is
    /// known.
    pub(super) async fn write(&mut self, object: &K) -> Result<bool, Failed> {
        let params = PostParams { field_manager: Some("dragoman".to_owned()), ..PostParams::default() };
        let written = match self.there() {
            Some(_) => self.api.replace(&self.name, &params, object).await,
            None => self.api.create(&params, object).await,
        };
        match written {
            Ok(written) => {
                self.see(Some(written));
                Ok(true)
            }
            // It is there already, or changed, or gone.
            Err(kube::Error::Api(status)) if self.is_race(status.code) => {
                self.read().await?;
                Ok(false)
            }
            Err(cause) => Err(self.failed(why(&cause))),
        }
    }

    /// Whether a status means that somebody else was faster. Where nothing was to be replaced, a 404 is the namespace's.
    fn is_race(&self, code: u16) -> bool {
        code == 409 || (code == 404 && self.there().is_some())
    }

    fn see(&mut self, object: Option<K>) {
        self.seen = object.map_or(Seen::Absent, |object| Seen::There(Box::new(object)));
    }

    fn failed(&self, cause: String) -> Failed {
        Failed { what: self.what.clone(), cause }
    }
}

fn watch_error(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(cause)
        | watcher::Error::WatchStartFailed(cause)
        | watcher::Error::WatchFailed(cause) => why(cause),
        other => describe(other),
    }
}

//! Documents that are made already: the next who asks costs no more than their bytes, and who has them not even that.

use std::sync::{Arc, Mutex, PoisonError};

use super::Site;
use super::document::Part;
use crate::card::serve::Served;
use crate::directory::Snapshot;

/// How many documents are kept, those that were asked for last. Each has 1 MiB at most. Whoever asks under ever new Hosts has
/// each made for himself, in his turn.
const DOCUMENTS_MAX: usize = 16;

/// What was made of one snapshot.
#[derive(Debug, Default)]
pub(super) struct Shelf(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    of: Option<Arc<Snapshot>>,
    /// The last one was asked for last.
    documents: Vec<Made>,
}

#[derive(Debug)]
struct Made {
    namespace: Option<String>,
    base: String,
    part: Part,
    document: Served,
}

impl Shelf {
    /// The document, if it was made of this snapshot.
    pub(super) fn find(&self, snapshot: &Arc<Snapshot>, site: &Site, part: Part) -> Option<Served> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.is_of(snapshot) {
            return None;
        }
        let at = kept.documents.iter().position(|made| made.is(site, part))?;
        let made = kept.documents.remove(at);
        let document = made.document.clone();
        kept.documents.push(made);
        Some(document)
    }

    /// Keeps a document that was made of this snapshot.
    pub(super) fn keep(&self, snapshot: &Arc<Snapshot>, site: &Site, part: Part, document: Served) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.is_of(snapshot) {
            *kept = Kept { of: Some(Arc::clone(snapshot)), documents: Vec::new() };
        }
        kept.documents.retain(|made| !made.is(site, part));
        if kept.documents.len() >= DOCUMENTS_MAX {
            kept.documents.remove(0);
        }
        let (namespace, base) = (site.namespace.clone(), site.base.clone());
        kept.documents.push(Made { namespace, base, part, document });
    }
}

impl Kept {
    fn is_of(&self, snapshot: &Arc<Snapshot>) -> bool {
        self.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, snapshot))
    }
}

impl Made {
    fn is(&self, site: &Site, part: Part) -> bool {
        self.part == part && self.namespace == site.namespace && self.base == site.base
    }
}

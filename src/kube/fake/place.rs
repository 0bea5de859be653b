//! Where objects are, and which of them a call is about.

use std::collections::HashMap;

use http::Uri;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

/// Where an object is: `/api/v1`, `services`, namespace, name.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Place {
    pub(super) group: String,
    pub(super) plural: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

/// Which objects are asked for, and how they are to be shown.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) place: Place,
    labels: Vec<(String, String)>,
    /// Whether only metadata is asked for.
    partial: bool,
}

impl Place {
    /// Where an object belongs that says what it is.
    pub(super) fn of(object: &Value) -> Self {
        let version = object["apiVersion"].as_str().unwrap();
        let root = if version.contains('/') { "apis" } else { "api" };
        Self {
            group: format!("/{root}/{version}"),
            plural: object["kind"].as_str().unwrap().to_lowercase() + "s",
            namespace: object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned(),
            name: object["metadata"]["name"].as_str().unwrap().to_owned(),
        }
    }

    /// What a path leads to: an object, or without a name many.
    pub(super) fn at(path: &str) -> Self {
        let mut parts = path.trim_start_matches('/').split('/').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        let root = next();
        let group = if root == "api" { next() } else { next() + "/" + &next() };
        let (mut namespace, mut plural) = (String::new(), next());
        if plural == "namespaces" {
            namespace = next();
            plural = next();
        }
        Self { group: format!("/{root}/{group}"), plural, namespace, name: next() }
    }
}

impl Query {
    pub(super) fn new(mut place: Place, parameters: &HashMap<String, String>, accept: &str) -> Self {
        let pairs = |name: &str| parameters.get(name).into_iter().flat_map(|pairs| pairs.split(','));
        let pairs = |name: &str| pairs(name).filter_map(|pair| pair.split_once('='));
        if let Some((_, name)) = pairs("fieldSelector").find(|(field, _)| *field == "metadata.name") {
            name.clone_into(&mut place.name);
        }
        let labels = pairs("labelSelector").map(|(label, value)| (label.to_owned(), value.to_owned()));
        Self { place, labels: labels.collect(), partial: accept.contains("as=PartialObjectMetadata") }
    }

    /// Whether an object is asked for.
    pub(super) fn holds(&self, place: &Place, object: &Value) -> bool {
        let Self { place: wanted, labels, .. } = self;
        let own = &object["metadata"]["labels"];
        (&wanted.group, &wanted.plural) == (&place.group, &place.plural)
            && (wanted.namespace.is_empty() || wanted.namespace == place.namespace)
            && (wanted.name.is_empty() || wanted.name == place.name)
            && labels.iter().all(|(label, value)| own[label] == value.as_str())
    }

    /// An object as it is shown to who asks so.
    pub(super) fn show(&self, object: &Value) -> Value {
        if !self.partial {
            return object.clone();
        }
        json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object["metadata"]})
    }
}

/// The parameters of a call.
pub(super) fn parameters(uri: &Uri) -> HashMap<String, String> {
    let pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let decoded = |text| percent_decode_str(text).decode_utf8().unwrap().into_owned();
    pairs.map(|(name, value)| (name.to_owned(), decoded(value))).collect()
}

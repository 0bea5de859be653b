//! `mesh` and `meshes`: where this sidecar belongs, and which other meshes it knows.

use std::net::SocketAddr;

use http::Uri;
use serde::Serialize;

use super::{
    Config, address,
    check::{Check, Sifted, sift},
    field::{Field, Located},
    problem::Refused,
    raw::{RawMesh, RawRemoteMesh},
    show, words,
};
use crate::a2a::Home;

/// The mesh that this sidecar belongs to, and its place in it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mesh {
    /// The mesh's name, a DNS label.
    pub name: String,
    /// The SPIFFE trust domain, without scheme.
    pub trust_domain: String,
    /// The DNS domain of the cluster, without a dot at its end.
    pub cluster_domain: String,
    /// The namespace of this pod, a DNS label.
    pub namespace: String,
}

/// Another mesh.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RemoteMesh {
    /// The mesh's name, a DNS label.
    pub name: String,
    /// Its SPIFFE trust domain, without scheme.
    pub trust_domain: String,
    /// The DNS domain of its cluster, without a dot at its end.
    pub cluster_domain: String,
    /// The DNS servers that know its cluster; `None` are those of `discovery`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nameservers: Option<Vec<SocketAddr>>,
    /// Where its directory lists agents.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "show::some_text")]
    pub directory: Option<Uri>,
    /// The SPIFFE ID that its directory must show, a pattern.
    pub server: String,
}

/// The domain of a cluster that nobody has renamed.
pub(super) const CLUSTER_DOMAIN: &str = "cluster.local";

impl Mesh {
    /// What completes the short names that this sidecar reads.
    pub fn home(&self) -> Home {
        Home { namespace: self.namespace.clone(), mesh: self.name.clone() }
    }

    pub(super) fn check(check: &Check<'_>, raw: Located<RawMesh>) -> Result<Self, Refused> {
        let Located { place, value: raw } = raw;
        let name = check.required(&place, "name", raw.name, words::label);
        let trust_domain = check.required(&place, "trustDomain", raw.trust_domain, words::trust_domain);
        let cluster_domain = check.or(CLUSTER_DOMAIN.to_owned(), raw.cluster_domain, words::domain);
        let namespace = check.or("default".to_owned(), raw.namespace, words::label);
        Ok(Self {
            name: name?,
            trust_domain: trust_domain?,
            cluster_domain: cluster_domain?,
            namespace: namespace?,
        })
    }
}

impl RemoteMesh {
    /// The other meshes; `own` is the name of this one.
    pub(super) fn check(
        check: &Check<'_>,
        field: Field<Vec<Field<RawRemoteMesh>>>,
        own: Option<&str>,
    ) -> Result<Vec<Self>, Refused> {
        let raw = field.or_default()?;
        let Sifted { good: meshes, mut outcome } =
            sift(raw.into_iter().map(|mesh| Self::one(check, mesh.optional()?.ok_or(Refused)?)));
        for (index, mesh) in meshes.iter().enumerate() {
            let earlier = meshes.iter().take(index).any(|other| other.value.name == mesh.value.name);
            if own == Some(mesh.value.name.as_str()) {
                outcome =
                    Err(check
                        .refuse(&mesh.place, &format!(".name: {:?} is this mesh itself", mesh.value.name)));
            } else if earlier {
                outcome =
                    Err(check.refuse(&mesh.place, &format!(".name: {:?} is there already", mesh.value.name)));
            }
        }
        outcome.map(|()| meshes.into_iter().map(|mesh| mesh.value).collect())
    }

    fn one(check: &Check<'_>, raw: Located<RawRemoteMesh>) -> Result<Located<Self>, Refused> {
        let Located { place, value: raw } = raw;
        let name = check.required(&place, "name", raw.name, words::label);
        let trust_domain = check.required(&place, "trustDomain", raw.trust_domain, words::trust_domain);
        let cluster_domain = check.or(CLUSTER_DOMAIN.to_owned(), raw.cluster_domain, words::domain);
        let default = "leave the key out for those of discovery";
        let nameservers = check.filled(raw.nameservers, default, address::nameserver);
        let directory = check.optional(raw.directory, address::service_url);
        let server = check.optional(raw.server, words::spiffe_pattern);
        let (trust_domain, server) = (trust_domain?, server?);
        let value = Self {
            name: name?,
            server: server.unwrap_or_else(|| Config::controller_id(&trust_domain)),
            trust_domain,
            cluster_domain: cluster_domain?,
            nameservers: nameservers?,
            directory: directory?,
        };
        Ok(Located { place, value })
    }
}

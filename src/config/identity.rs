//! `identity`: where the own certificate comes from, and which identities other agents must show.

use std::{collections::BTreeMap, path::PathBuf};

use http::Uri;
use serde::Serialize;

use super::{
    address,
    check::Check,
    field::{Field, Located, Place},
    problem::Refused,
    raw::{RawFiles, RawIdentity, RawIssuer, RawWorkloadApi},
    show, words,
};
use crate::a2a::Name;

/// Who this process is, and who others must be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Identity<S = Source> {
    /// Where the own certificate comes from.
    #[serde(flatten)]
    pub source: S,
    /// The SPIFFE ID that a called agent must show: a pattern with `{trustDomain}`, `{namespace}` and `{agent}` still in it.
    pub server: String,
    /// The same for single agents.
    #[serde(serialize_with = "show::by_name")]
    pub servers: BTreeMap<Name, String>,
}

/// Where a certificate, its key and the bundles come from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Source {
    /// Files, watched for change.
    Files {
        /// The directory that they are in.
        dir: PathBuf,
    },
    /// A certificate issuer.
    Issuer {
        /// Its URL: `https`, or `http` on a loopback address.
        #[serde(serialize_with = "show::text")]
        url: Uri,
        /// The file with the token that is shown to it.
        token_file: PathBuf,
        /// The SPIFFE ID that it must show: a pattern with `{trustDomain}` still in it.
        server: String,
        /// Root certificates in PEM by which it is believed at first; `None` are those beside the token.
        #[serde(skip_serializing_if = "Option::is_none")]
        roots: Option<String>,
        /// Where the latest bundles are kept.
        #[serde(skip_serializing_if = "Option::is_none")]
        state: Option<PathBuf>,
    },
    /// A SPIFFE Workload API.
    WorkloadApi {
        /// Its Unix socket, an absolute path.
        socket: PathBuf,
    },
}

/// Where Kubernetes mounts certificates by convention.
const FILES_DIR: &str = "/run/secrets/workload-spiffe-credentials";

/// Any service account of the agent's namespace.
const SERVER: &str = "spiffe://{trustDomain}/ns/{namespace}/sa/*";

/// Whoever runs in the controller's usual namespace: the template of IDs that services of a mesh show, unless somebody says
/// otherwise.
pub(super) const CONTROLLER: &str = "spiffe://{trustDomain}/ns/dragoman-system/sa/*";

impl Identity<Option<Source>> {
    pub(super) fn check(check: &Check<'_>, field: Field<RawIdentity>) -> Result<Self, Refused> {
        let raw = field.or_default()?;
        let source = Source::check(check, raw.files, raw.issuer, raw.workload_api);
        let server = check.or(SERVER.to_owned(), raw.server, words::spiffe_template);
        let servers = check.by_name(raw.servers, |id| check.read(&id, words::spiffe_pattern));
        Ok(Self { source: source?, server: server?, servers: servers? })
    }

    /// Files are the source unless another one is named.
    pub(super) fn or_files(self) -> Identity {
        let Self { source, server, servers } = self;
        Identity { source: source.unwrap_or_default(), server, servers }
    }
}

impl Default for Source {
    fn default() -> Self {
        Self::Files { dir: FILES_DIR.into() }
    }
}

impl Source {
    fn check(
        check: &Check<'_>,
        files: Field<RawFiles>,
        issuer: Field<RawIssuer>,
        workload_api: Field<RawWorkloadApi>,
    ) -> Result<Option<Self>, Refused> {
        let places = [files.place(), issuer.place(), workload_api.place()];
        let mut given: Vec<Place> = places.into_iter().flatten().collect();
        given.sort_by_key(|place| place.at);
        if let [first, second, ..] = &given[..] {
            let what = format!(" stands beside {}; keep one of files, issuer and workloadApi", first.path);
            return Err(check.refuse(second, &what));
        }
        match (files.optional()?, issuer.optional()?, workload_api.optional()?) {
            (_, Some(issuer), _) => Self::issuer(check, issuer).map(Some),
            (_, _, Some(workload_api)) => Self::workload_api(check, workload_api).map(Some),
            (Some(files), None, None) => Self::files(check, files).map(Some),
            (None, None, None) => Ok(None),
        }
    }

    fn files(check: &Check<'_>, raw: Located<RawFiles>) -> Result<Self, Refused> {
        Ok(Self::Files { dir: check.or(FILES_DIR.into(), raw.value.dir, words::path)? })
    }

    fn issuer(check: &Check<'_>, raw: Located<RawIssuer>) -> Result<Self, Refused> {
        let Located { place, value: raw } = raw;
        let url = check.required(&place, "url", raw.url, address::issuer_url);
        let token_file = check.required(&place, "tokenFile", raw.token_file, words::path);
        let server = check.or(CONTROLLER.to_owned(), raw.server, words::spiffe_service);
        let state = check.optional(raw.state, words::path);
        let roots = check.optional(raw.roots, words::roots);
        Ok(Self::Issuer { url: url?, token_file: token_file?, server: server?, roots: roots?, state: state? })
    }

    fn workload_api(check: &Check<'_>, raw: Located<RawWorkloadApi>) -> Result<Self, Refused> {
        let socket = check.required(&raw.place, "socket", raw.value.socket, words::socket)?;
        Ok(Self::WorkloadApi { socket })
    }
}

//! The controller's configuration: a file of its own, read like the sidecar's.

use std::{collections::BTreeMap, net::Ipv6Addr, path::PathBuf, time::Duration};

use http::Uri;
use serde::Serialize;

mod raw;

use self::raw::{Raw, RawDirectory, RawInjector, RawIssuerRole, RawPeerMesh};
use super::{
    Admin, Config, ConfigErrors, Identity, Listen, Log, Mesh, Policy, Source, address,
    check::{Check, Sifted, sift},
    choice::{ROLES, Role},
    field::{Field, Located, Pair},
    listen::Claims,
    mesh, own_mesh, parse,
    problem::{Problems, Refused},
    read, reason, show, words,
};
use crate::a2a::Home;

/// Everything that a controller is told.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ControllerConfig {
    /// The mesh, and the controller's own namespace in it.
    pub mesh: Mesh,
    /// What this process does: each role once, at least one.
    pub roles: Vec<Role>,
    /// A kubeconfig file instead of the pod's service account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
    /// Where the directory's own certificate comes from; without a source the identity role of this process issues it.
    pub identity: Identity<Option<Source>>,
    /// The role that issues identities.
    pub issuer: IssuerRole,
    /// The role that puts sidecars into pods.
    pub injector: Injector,
    /// The role that knows all agents.
    pub directory: Directory,
    /// Other meshes, each name once and none the own.
    pub meshes: Vec<PeerMesh>,
    /// Health and metrics.
    pub admin: Admin,
    /// What is written to stderr.
    pub log: Log,
}

/// The role that issues identities.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IssuerRole {
    /// Where sidecars ask.
    pub listen: Listen,
    /// The service account whose identity the service shows.
    pub account: String,
    /// The Secret with the issuer's certificate and key.
    pub secret: String,
    /// The ConfigMap that all bundles are published in.
    pub bundle: String,
    /// What tokens must be for.
    pub audience: String,
    /// How long an issued certificate is valid.
    #[serde(serialize_with = "show::duration")]
    pub lifetime: Duration,
    /// How long a new root is published before it signs.
    #[serde(serialize_with = "show::duration")]
    pub settle: Duration,
    /// DNS names by service account, `name.namespace`.
    pub names: BTreeMap<String, Vec<String>>,
}

/// The role that puts sidecars into pods.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Injector {
    /// Where the API server asks.
    pub listen: Listen,
    /// The MutatingWebhookConfiguration, and the Service in front.
    pub webhook: String,
    /// Where the webhook's certificate comes from.
    pub certificate: WebhookCertificate,
    /// The file with the partial Container.
    pub container: PathBuf,
    /// The file with the partial sidecar configuration.
    pub sidecar: PathBuf,
}

/// Where the webhook's certificate comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum WebhookCertificate {
    /// Somebody else keeps `tls.crt` and `tls.key` in this directory.
    Dir(PathBuf),
    /// The injector keeps it in this Secret.
    Secret(String),
}

/// The role that knows all agents.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Directory {
    /// gRPC over mutual TLS.
    pub listen: Listen,
    /// HTTPS.
    pub catalog: Listen,
    /// DNS over UDP and TCP.
    pub dns: Listen,
    /// The zone, without a dot at its end.
    pub zone: String,
    /// The Service in front.
    pub service: String,
    /// Who sees whom.
    pub policy: Policy,
}

/// Another mesh.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerMesh {
    /// Its name, a DNS label.
    pub name: String,
    /// Its SPIFFE trust domain.
    pub trust_domain: String,
    /// A PEM file with its roots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<PathBuf>,
    /// Where its directory is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<PeerDirectory>,
}

/// The directory of another mesh.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerDirectory {
    /// `https://` and a host, perhaps a port.
    #[serde(serialize_with = "show::text")]
    pub url: Uri,
    /// The SPIFFE ID that it must show, a pattern.
    pub server: String,
}

const ISSUER_PORT: u16 = 2644;
const INJECTOR_PORT: u16 = 2645;
const DIRECTORY_PORT: u16 = 2646;
const CATALOG_PORT: u16 = 2647;
const DNS_PORT: u16 = 2653;
const LIFETIME: Duration = Duration::from_hours(24);
const SETTLE: Duration = Duration::from_mins(15);

impl ControllerConfig {
    /// Reads a file; `env` knows the environment variables that it may refer to.
    ///
    /// # Errors
    /// If the file cannot be read, or with everything that is wrong in it.
    pub fn load(path: &std::path::Path, env: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        let file = path.display().to_string();
        match read(path) {
            Ok(bytes) => Self::parse(&file, &bytes, env),
            Err(error) => Err(ConfigErrors::Unreadable { file, reason: reason(&error) }),
        }
    }

    /// Reads the contents of a file; `file` is what errors call it.
    ///
    /// # Errors
    /// With everything that is wrong in it.
    pub fn parse(
        file: &str,
        bytes: &[u8],
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigErrors> {
        parse(file, bytes, &env, Self::check)
    }

    /// The JSON Schema of the file.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Raw).to_value()
    }

    fn check(raw: Located<Raw>, problems: &Problems) -> Result<Self, Refused> {
        let Located { place, value: raw } = raw;
        let unknown = Home { namespace: "default".to_owned(), mesh: "mesh".to_owned() };
        let mesh = own_mesh(&Check::new(problems, unknown.clone()), &place, raw.mesh);
        let home = mesh.as_ref().map_or(unknown, Mesh::home);
        let check = Check::new(problems, home);
        let mut claims = Claims::default();
        let roles =
            check.filled(raw.roles, "leave the key out for all roles", |text| words::choice(text, &ROLES));
        let kubeconfig = raw.kubernetes.or_default().and_then(|raw| check.optional(raw.config, words::path));
        let identity = Identity::check(&check, raw.identity);
        let issuer = IssuerRole::check(&check, raw.issuer, &mut claims);
        let injector = Injector::check(&check, raw.injector, &mut claims);
        let domain = mesh.as_ref().map_or(mesh::CLUSTER_DOMAIN, |mesh| &mesh.cluster_domain);
        let directory = Directory::check(&check, raw.directory, domain, &mut claims);
        let own = mesh.as_ref().ok().map(|mesh| mesh.name.as_str());
        let meshes = PeerMesh::check(&check, raw.meshes, own);
        let admin = Admin::check(&check, raw.admin, &mut claims);
        let log = Log::check(&check, raw.log);
        claims.settle(&check)?;
        let mut roles = roles?.unwrap_or_else(|| ROLES.map(|(_, role)| role).to_vec());
        roles.sort_unstable();
        roles.dedup();
        let mut identity = identity?;
        if !roles.contains(&Role::Identity) {
            identity.source.get_or_insert_default();
        }
        Ok(Self {
            mesh: mesh?,
            roles,
            kubeconfig: kubeconfig?,
            identity,
            issuer: issuer?,
            injector: injector?,
            directory: directory?,
            meshes: meshes?,
            admin: admin?,
            log: log?,
        })
    }
}

impl IssuerRole {
    fn check(check: &Check<'_>, field: Field<RawIssuerRole>, claims: &mut Claims) -> Result<Self, Refused> {
        let raw = field.or_default()?;
        let default = [(Ipv6Addr::UNSPECIFIED, ISSUER_PORT).into()];
        let listen = claims.listen(check, "issuer.listen", raw.listen, &default);
        let account = check.or("dragoman-controller".to_owned(), raw.account, words::domain);
        let secret = check.or("dragoman-issuer".to_owned(), raw.secret, words::domain);
        let bundle = check.or("dragoman-trust-bundle".to_owned(), raw.bundle, words::domain);
        let audience = check.or("dragoman-identity".to_owned(), raw.audience, words::filled);
        let lifetime = check.or(LIFETIME, raw.lifetime, words::leaf_lifetime);
        let settle = check.or(SETTLE, raw.settle, words::duration);
        let names = raw.names.optional().and_then(|pairs| {
            let pairs = pairs.map(|pairs| pairs.value.0).unwrap_or_default();
            let each = pairs.into_iter().map(|Pair { key, value }| {
                let key = key.optional()?.ok_or(Refused)?;
                let account = check.read(&key, words::account);
                let names = check.some(value.optional()?.ok_or(Refused)?, words::certificate_name);
                Ok((account?, names?))
            });
            let Sifted { good, outcome } = sift(each);
            outcome.map(|()| good.into_iter().collect())
        });
        Ok(Self {
            listen: listen?,
            account: account?,
            secret: secret?,
            bundle: bundle?,
            audience: audience?,
            lifetime: lifetime?,
            settle: settle?,
            names: names?,
        })
    }
}

impl Injector {
    fn check(check: &Check<'_>, field: Field<RawInjector>, claims: &mut Claims) -> Result<Self, Refused> {
        let raw = field.or_default()?;
        let default = [(Ipv6Addr::UNSPECIFIED, INJECTOR_PORT).into()];
        let listen = claims.listen(check, "injector.listen", raw.listen, &default);
        let webhook = check.or("dragoman-injector".to_owned(), raw.webhook, words::label);
        let certificate = match (raw.secret.optional()?, raw.dir.optional()?) {
            (Some(_), Some(dir)) => {
                Err(check.refuse(&dir.place, " stands beside injector.secret; keep one of them"))
            }
            (None, Some(dir)) => check.read(&dir, words::path).map(WebhookCertificate::Dir),
            (Some(secret), None) => check.read(&secret, words::domain).map(WebhookCertificate::Secret),
            (None, None) => Ok(WebhookCertificate::Secret("dragoman-injector-tls".to_owned())),
        };
        let container = check.or("/etc/dragoman/container.yaml".into(), raw.container, words::path);
        let sidecar = check.or("/etc/dragoman/sidecar.yaml".into(), raw.sidecar, words::path);
        Ok(Self {
            listen: listen?,
            webhook: webhook?,
            certificate: certificate?,
            container: container?,
            sidecar: sidecar?,
        })
    }
}

impl Directory {
    fn check(
        check: &Check<'_>,
        field: Field<RawDirectory>,
        cluster_domain: &str,
        claims: &mut Claims,
    ) -> Result<Self, Refused> {
        let raw = field.or_default()?;
        let any = |port: u16| [(Ipv6Addr::UNSPECIFIED, port).into()];
        let listen = claims.listen(check, "directory.listen", raw.listen, &any(DIRECTORY_PORT));
        let catalog = claims.listen(check, "directory.catalog", raw.catalog, &any(CATALOG_PORT));
        let dns = claims.listen(check, "directory.dns", raw.dns, &any(DNS_PORT));
        let zone = check.or(format!("a2a.{cluster_domain}"), raw.zone, words::domain);
        let service = check.or("dragoman-directory".to_owned(), raw.service, words::label);
        let policy = Policy::check(check, raw.policy);
        Ok(Self {
            listen: listen?,
            catalog: catalog?,
            dns: dns?,
            zone: zone?,
            service: service?,
            policy: policy?,
        })
    }
}

impl PeerMesh {
    fn check(
        check: &Check<'_>,
        field: Field<Vec<Field<RawPeerMesh>>>,
        own: Option<&str>,
    ) -> Result<Vec<Self>, Refused> {
        let raw = field.or_default()?;
        let Sifted { good: meshes, mut outcome } =
            sift(raw.into_iter().map(|mesh| Self::one(check, mesh.optional()?.ok_or(Refused)?)));
        for (index, mesh) in meshes.iter().enumerate() {
            let name = &mesh.value.name;
            let what = if own == Some(name) {
                format!(".name: {name:?} is this mesh itself")
            } else if meshes.iter().take(index).any(|other| other.value.name == *name) {
                format!(".name: {name:?} is there already")
            } else {
                continue;
            };
            outcome = Err(check.refuse(&mesh.place, &what));
        }
        outcome.map(|()| meshes.into_iter().map(|mesh| mesh.value).collect())
    }

    fn one(check: &Check<'_>, raw: Located<RawPeerMesh>) -> Result<Located<Self>, Refused> {
        let Located { place, value: raw } = raw;
        let name = check.required(&place, "name", raw.name, words::label);
        let trust_domain = check.required(&place, "trustDomain", raw.trust_domain, words::trust_domain);
        let bundle = check.optional(raw.bundle, words::path);
        let directory = check.optional(raw.directory, address::service_url);
        let server = check.optional(raw.server, words::spiffe_pattern);
        let (trust_domain, directory, server) = (trust_domain?, directory?, server?);
        let directory = directory.map(|url| PeerDirectory {
            url,
            server: server.unwrap_or_else(|| Config::controller_id(&trust_domain)),
        });
        Ok(Located { place, value: Self { name: name?, trust_domain, bundle: bundle?, directory } })
    }
}

#[cfg(test)]
mod tests;

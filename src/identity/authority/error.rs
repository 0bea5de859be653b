//! What can be wrong with an authority.

use std::{io, path::PathBuf};

use crate::identity::{IssuerRule, RootError, SpiffeId, TrustDomain, Untrusted, date};

/// Why an authority cannot be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A DNS name that is none.
    #[error("{0:?} is no DNS name")]
    Dns(String),
    /// There is an authority in that directory already; nothing overwrites a root's key.
    #[error("{} exists: an authority's key is never overwritten", .0.display())]
    Exists(PathBuf),
    /// The authority is not valid at this time.
    #[error("the authority of {domain} is not valid now: it is from {} to {}", date(*not_before), date(*not_after))]
    Expired {
        /// The authority's trust domain.
        domain: TrustDomain,
        /// The start of its validity, in Unix seconds.
        not_before: i64,
        /// The end of its validity, in Unix seconds.
        not_after: i64,
    },
    /// The ID is another authority's to give.
    #[error("{id} cannot be issued by the authority of {domain}")]
    Foreign {
        /// The ID that was asked for.
        id: SpiffeId,
        /// The authority's trust domain.
        domain: TrustDomain,
    },
    /// A file cannot be read or written.
    #[error("{}: {cause}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The key is another certificate's.
    #[error("{0}: the key does not belong to the certificate beside it")]
    KeyMismatch(String),
    /// The ID names a trust domain, not a workload.
    #[error("{0} has no path: a workload's ID has one")]
    Pathless(SpiffeId),
    /// Nobody would believe what the authority issues.
    #[error("no peer would believe it: {0}")]
    Powerless(Untrusted),
    /// The certificate is no CA of the trust domain.
    #[error("{place}: {rule}")]
    Root {
        /// Where it is.
        place: String,
        /// The rule that it breaks.
        rule: IssuerRule,
    },
    /// A root that cannot be one.
    #[error("{place}: {cause}")]
    Roots {
        /// Where it is.
        place: String,
        /// Which one, and the rule that it breaks.
        cause: RootError,
    },
    /// The certificate cannot be made.
    #[error("the certificate cannot be made: {0}")]
    Sign(#[from] rcgen::Error),
    /// The certificate names no trust domain, so nobody can say whom it may vouch for.
    #[error("{0}: the certificate has no SPIFFE ID, so its trust domain is unknown")]
    Unnamed(String),
    /// What is there is not what is expected.
    #[error("{place}: {what}")]
    Unreadable {
        /// Where it is.
        place: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A time that certificates cannot hold.
    #[error("{0} is no time that a certificate can hold (Unix seconds)")]
    When(i64),
}

//! What becomes of a pod, and why.

use std::fmt;

/// What becomes of a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// It gets a sidecar.
    Patch(Injection),
    /// It asks for something that cannot be: it is not made, so that whoever asks hears it at once.
    Refuse(Refusal),
    /// It is made as it is.
    Skip(Skip),
}

/// What a pod gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Injection {
    /// What is added to the pod.
    pub patch: json_patch::Patch,
    /// The names of the pod's agents; none in a pod that only calls.
    pub agents: Vec<String>,
    /// What whoever makes the pod should know.
    pub warnings: Vec<String>,
}

/// Why a pod is made as it is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Skip {
    /// It has a sidecar.
    AlreadyInjected,
    /// It shares the node's network: the sidecar's ports would be the node's, once for all such pods.
    HostNetwork,
    /// The kubelet made it from a file: the API server only mirrors it.
    Mirror,
    /// Its label says so.
    Off,
    /// It runs on Windows.
    Windows,
}

/// Why a pod is not made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// What kind of thing is wrong.
    pub cause: Cause,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// What kind of thing is wrong with a pod.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Cause {
    /// An annotation or a label of ours.
    Annotation,
    /// The agent has no name, or one that cannot be.
    Name,
    /// The pod itself.
    Pod,
    /// Which port is the agent's cannot be told.
    Port,
    /// Something that must be ours is somebody else's.
    Taken,
}

impl Refusal {
    pub(super) fn new(cause: Cause, message: String) -> Self {
        Self { cause, message }
    }

    /// Something is wrong with an annotation of ours.
    pub(super) fn annotation(name: &str, what: &str) -> Self {
        Self::new(Cause::Annotation, format!("annotation dragoman.dev/{name}: {what}"))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Decision {
    /// The word in metrics and logs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Patch(_) => "injected",
            Self::Refuse(_) => "refused",
            Self::Skip(_) => "skipped",
        }
    }

    /// The reason in metrics and logs, one of few.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Patch(injection) if injection.agents.is_empty() => "caller",
            Self::Patch(_) => "agent",
            Self::Refuse(refusal) => refusal.cause.word(),
            Self::Skip(skip) => skip.word(),
        }
    }
}

impl Skip {
    /// The word in metrics and logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::AlreadyInjected => "already-injected",
            Self::HostNetwork => "host-network",
            Self::Mirror => "mirror",
            Self::Off => "off",
            Self::Windows => "windows",
        }
    }

    /// What whoever makes the pod should know, where it is not what they asked for.
    pub const fn warning(self) -> Option<&'static str> {
        match self {
            Self::AlreadyInjected | Self::Mirror | Self::Off => None,
            Self::HostNetwork => Some(
                "no Dragoman sidecar: the pod has hostNetwork, where the sidecar's ports would be the node's",
            ),
            Self::Windows => Some("no Dragoman sidecar: the pod runs on Windows, the sidecar on Linux alone"),
        }
    }
}

impl Cause {
    /// The word in metrics and logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Annotation => "annotation",
            Self::Name => "name",
            Self::Pod => "pod",
            Self::Port => "port",
            Self::Taken => "taken",
        }
    }

    /// What is wrong, in words of ours alone.
    pub(super) const fn sentence(self) -> &'static str {
        match self {
            Self::Annotation => "an annotation or label below dragoman.dev/ is not right",
            Self::Name => "the agent has no name, or one that no Service can have",
            Self::Pod => "the pod has no spec",
            Self::Port => "which port is the agent's cannot be told",
            Self::Taken => "it has a name or a port for itself that the sidecar needs",
        }
    }
}

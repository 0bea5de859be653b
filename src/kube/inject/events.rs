//! Kubernetes Events about what the injector did, told in the background: no pod waits for them.
//!
//! Whoever reaches the webhook's port may say that he is an API server. So Events are few for each owner and namespace, and
//! consist of our own sentences and of names that can be names.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::decision::Decision;
use super::metrics::Metrics;
use crate::kube::cut;
use crate::kube::limit::{Limit, Rate};
use crate::kube::sparing::Sparing;
use crate::task;

/// How many Events may wait to be told; more are dropped, since old news helps nobody.
const QUEUE: usize = 256;
/// How many Events there may be about one owner: five, then one a minute.
const OWNER: Rate = Rate { burst: 5.0, each_second: 1.0 / 60.0, keys_max: 4096 };
/// How many in one namespace: many Deployments may be rolled out at once.
const NAMESPACE: Rate = Rate { burst: 50.0, each_second: 0.5, keys_max: 1024 };
/// How many agents are named.
const AGENTS_MAX: usize = 10;
/// The longest note, in bytes, that an API server takes.
const NOTE_MAX: usize = 1024;
/// Who tells.
const REPORTER: &str = "dragoman.dev/injector";

/// Tells what became of pods.
#[derive(Clone, Debug)]
pub struct Teller {
    queue: mpsc::Sender<News>,
    owners: Arc<Limit>,
    namespaces: Arc<Limit>,
    /// Which requests that are none are logged.
    pub(super) sparing: Arc<Sparing>,
    metrics: Metrics,
}

#[derive(Debug)]
struct News {
    about: ObjectReference,
    text: Text,
}

/// What an Event says.
#[derive(Debug)]
struct Text {
    kind: EventType,
    reason: &'static str,
    note: String,
}

impl Teller {
    /// Starts to tell by means of `client`. The task ends with the handle.
    pub fn start(client: Client, metrics: Metrics) -> (Self, AbortOnDropHandle<()>) {
        let (queue, news) = mpsc::channel(QUEUE);
        let task = task::spawn(tell(client, news, metrics.clone()));
        let (owners, namespaces) = (Arc::new(Limit::new(OWNER)), Arc::new(Limit::new(NAMESPACE)));
        (Self { queue, owners, namespaces, sparing: Arc::default(), metrics }, task)
    }

    /// Tells what became of a pod, unless that is what anybody would expect.
    pub(super) fn tell(&self, decision: &Decision, pod: &str, about: ObjectReference) {
        let Some(text) = text(decision, pod) else { return };
        if !self.may(&about, Instant::now()) {
            self.metrics.event("limited");
        } else if self.queue.try_send(News { about, text }).is_err() {
            self.metrics.event("dropped");
        }
    }

    fn may(&self, about: &ObjectReference, now: Instant) -> bool {
        let word = |word: &Option<String>| word.clone().unwrap_or_default();
        let (namespace, kind, name) = (word(&about.namespace), word(&about.kind), word(&about.name));
        self.owners.take(&format!("{namespace}/{kind}/{name}"), now).is_ok()
            && self.namespaces.take(&namespace, now).is_ok()
    }
}

/// What there is to be said.
fn text(decision: &Decision, pod: &str) -> Option<Text> {
    let (kind, reason, note) = match decision {
        Decision::Patch(injection) => {
            let warnings = injection.warnings.iter().map(|warning| format!(". {warning}"));
            let warnings = warnings.collect::<String>();
            let kind = if warnings.is_empty() { EventType::Normal } else { EventType::Warning };
            let part = part(&injection.agents);
            (kind, "Injected", format!("Sidecar put into pod {pod}, {part}{warnings}"))
        }
        Decision::Refuse(refusal) => {
            let sentence = refusal.cause.sentence();
            let note = format!(
                "Pod {pod} not made: {sentence}. The answer to who makes it says more, as an Event FailedCreate does, and the injector's log"
            );
            (EventType::Warning, "InjectionRefused", note)
        }
        Decision::Skip(skip) => {
            (EventType::Warning, "InjectionSkipped", format!("Pod {pod}: {}", skip.warning()?))
        }
    };
    Some(Text { kind, reason, note: cut(note, NOTE_MAX) })
}

fn part(agents: &[String]) -> String {
    match agents {
        [] => "which only calls".to_owned(),
        [first, rest @ ..] if rest.len() >= AGENTS_MAX => {
            format!("as {first} and {} more agents", rest.len())
        }
        all => format!("as {}", all.join(", ")),
    }
}

async fn tell(client: Client, mut news: mpsc::Receiver<News>, metrics: Metrics) {
    let reporter = Reporter { controller: REPORTER.to_owned(), instance: None };
    let recorder = Recorder::new(client, reporter);
    // What was wrong the last time, so that the log says it once.
    let mut complaint = None;
    while let Some(News { about, text: Text { kind, reason, note } }) = news.recv().await {
        let event = Event {
            type_: kind,
            reason: reason.to_owned(),
            note: Some(note),
            action: "Inject".to_owned(),
            secondary: None,
        };
        match recorder.publish(&event, &about).await {
            Ok(()) => {
                metrics.event("sent");
                complaint = None;
            }
            Err(error) => {
                metrics.event("failed");
                let error = error.to_string();
                if complaint.as_ref() != Some(&error) {
                    tracing::warn!(error, "Event not told");
                }
                complaint = Some(error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::decision::{Cause, Injection, Refusal};
    use super::*;

    #[test]
    fn a_refusal_is_told_without_a_word_of_who_asked() {
        let refusal = Refusal::annotation("port", &format!("\"visit example.com{}\"", "!".repeat(5000)));
        let Text { reason, note, .. } = text(&Decision::Refuse(refusal), "planner-1").unwrap();
        assert_eq!(reason, "InjectionRefused");
        assert!(
            note.starts_with(
                "Pod planner-1 not made: an annotation or label below dragoman.dev/ is not right."
            )
        );
        assert!(!note.contains("example.com"), "{note}");
        for cause in [Cause::Annotation, Cause::Name, Cause::Pod, Cause::Port, Cause::Taken] {
            let refusal = Refusal::new(cause, String::new());
            let note = text(&Decision::Refuse(refusal), &"x".repeat(253)).unwrap().note;
            assert!(note.ends_with("injector's log"), "the longest name has room: {note}");
        }
    }

    #[test]
    fn only_some_agents_are_named() {
        let told = |number| {
            let agents = (0..number).map(|agent| format!("agent-{agent}")).collect();
            let injection = Injection { patch: json_patch::Patch(vec![]), agents, warnings: vec![] };
            text(&Decision::Patch(injection), "planner-1").unwrap().note
        };
        assert_eq!(told(0), "Sidecar put into pod planner-1, which only calls");
        assert_eq!(told(2), "Sidecar put into pod planner-1, as agent-0, agent-1");
        assert_eq!(told(300), "Sidecar put into pod planner-1, as agent-0 and 299 more agents");
    }

    #[tokio::test(start_paused = true)]
    async fn events_are_few_for_an_owner_and_for_a_namespace() {
        let (teller, _task) = Teller::start(crate::kube::nowhere(), Metrics::default());
        let now = Instant::now();
        let may = |namespace: &str, name: &str, seconds| {
            let about = ObjectReference {
                kind: Some("ReplicaSet".to_owned()),
                namespace: Some(namespace.to_owned()),
                name: Some(name.to_owned()),
                ..ObjectReference::default()
            };
            teller.may(&about, now + Duration::from_secs(seconds))
        };
        assert_eq!((0..20).filter(|_| may("travel", "planner", 0)).count(), 5);
        assert_eq!((0..20).filter(|_| may("travel", "planner", 61)).count(), 1);
        let all = (0..200).filter(|owner| may("travel", &format!("owner-{owner}"), 61));
        assert_eq!(all.count(), 49, "with the one before");
        assert!(may("bank", "planner", 61));
    }
}

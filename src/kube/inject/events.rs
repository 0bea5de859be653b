//! Kubernetes Events about what the injector did, told in the background: no pod waits for them.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::decision::Decision;
use super::metrics::Metrics;
use crate::kube::cut;
use crate::task;

/// How many Events may wait to be told; more are dropped, since old news helps nobody.
const QUEUE: usize = 256;
/// The longest note, in bytes, that an API server takes.
const NOTE_MAX: usize = 1024;
/// Who tells.
const REPORTER: &str = "dragoman.dev/injector";

/// Tells what became of pods.
#[derive(Clone, Debug)]
pub struct Teller {
    queue: mpsc::Sender<News>,
    metrics: Metrics,
}

#[derive(Debug)]
struct News {
    about: ObjectReference,
    kind: EventType,
    reason: &'static str,
    note: String,
}

impl Teller {
    /// Starts to tell by means of `client`. The task ends with the handle.
    pub fn start(client: Client, metrics: Metrics) -> (Self, AbortOnDropHandle<()>) {
        let (queue, news) = mpsc::channel(QUEUE);
        let task = task::spawn(tell(client, news, metrics.clone()));
        (Self { queue, metrics }, task)
    }

    /// Tells what became of a pod, unless that is what anybody would expect.
    pub(super) fn tell(&self, decision: &Decision, pod: &str, about: ObjectReference) {
        let (kind, reason, note) = match decision {
            Decision::Patch(injection) => {
                let agents = match &injection.agents[..] {
                    [] => "which only calls".to_owned(),
                    agents => format!("as {}", agents.join(", ")),
                };
                let warnings = injection.warnings.iter().map(|warning| format!(". {warning}"));
                let note = format!("Sidecar put into pod {pod}, {agents}{}", warnings.collect::<String>());
                let kind = if injection.warnings.is_empty() { EventType::Normal } else { EventType::Warning };
                (kind, "Injected", note)
            }
            Decision::Refuse(refusal) => {
                (EventType::Warning, "InjectionRefused", format!("Pod {pod}: {refusal}"))
            }
            Decision::Skip(skip) => match skip.warning() {
                Some(warning) => (EventType::Warning, "InjectionSkipped", format!("Pod {pod}: {warning}")),
                None => return,
            },
        };
        let news = News { about, kind, reason, note: cut(note, NOTE_MAX) };
        if self.queue.try_send(news).is_err() {
            self.metrics.event("dropped");
        }
    }
}

async fn tell(client: Client, mut news: mpsc::Receiver<News>, metrics: Metrics) {
    let reporter = Reporter { controller: REPORTER.to_owned(), instance: None };
    let recorder = Recorder::new(client, reporter);
    // What was wrong the last time, so that the log says it once.
    let mut complaint = None;
    while let Some(News { about, kind, reason, note }) = news.recv().await {
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

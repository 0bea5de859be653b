//! The tasks of an agent: what it is asked, how far it has come, and who follows it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::Refusal;
use crate::a2a::Reason;

/// How many tasks are remembered; the oldest is forgotten first.
const MOST: usize = 1000;

/// How far a task is (`TaskState`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::demo) enum Status {
    /// The caller gave it up.
    Canceled,
    /// It is done.
    Completed,
    /// It went wrong.
    Failed,
    /// The caller must say more.
    InputRequired,
    /// The agent does not do such things.
    Rejected,
    /// It is under way.
    Working,
}

impl Status {
    /// The name on the wire.
    pub(in crate::demo) const fn as_str(self) -> &'static str {
        match self {
            Self::Canceled => "TASK_STATE_CANCELED",
            Self::Completed => "TASK_STATE_COMPLETED",
            Self::Failed => "TASK_STATE_FAILED",
            Self::InputRequired => "TASK_STATE_INPUT_REQUIRED",
            Self::Rejected => "TASK_STATE_REJECTED",
            Self::Working => "TASK_STATE_WORKING",
        }
    }

    /// Whether nothing can come after it.
    const fn is_terminal(self) -> bool {
        !matches!(self, Self::InputRequired | Self::Working)
    }
}

/// What happens to a task, as `StreamResponse`s; it ends with the turn.
pub(super) type Events = mpsc::UnboundedReceiver<Value>;

/// All tasks of an agent.
pub(super) struct Tasks {
    /// What the IDs begin with.
    kind: &'static str,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: BTreeMap<u64, Task>,
    last: u64,
}

struct Task {
    id: String,
    context: String,
    status: Status,
    message: Option<Value>,
    artifacts: Vec<Value>,
    history: Vec<Value>,
    /// How many messages the agent has written.
    written: usize,
    followers: Vec<mpsc::UnboundedSender<Value>>,
    /// What works on it.
    turn: Option<AbortOnDropHandle<()>>,
}

/// A turn that is about to begin.
pub(super) struct Begun {
    /// The task.
    pub(super) id: String,
    /// The task as it is now, as JSON.
    pub(super) task: Value,
    /// Everything that the caller has said in it, oldest first.
    pub(super) said: Vec<String>,
    /// What happens from now on.
    pub(super) events: Events,
}

impl Tasks {
    /// No tasks yet; their IDs will be `kind-1`, `kind-2` and so on.
    pub(super) fn new(kind: &'static str) -> Self {
        Self { kind, state: Mutex::default() }
    }

    /// Takes a message of the caller: for a new task, or for the one that it names. The task is shown with at most so many
    /// messages of its history.
    pub(super) fn begin(&self, mut message: Value, history: Option<usize>) -> Result<Begun, Refusal> {
        let mut state = self.lock();
        let named = message["taskId"].as_str().filter(|id| !id.is_empty()).map(str::to_owned);
        let context = message["contextId"].as_str().filter(|id| !id.is_empty()).map(str::to_owned);
        let task = match named {
            Some(id) => {
                let task = state.find(self.kind, &id)?;
                if context.is_some_and(|context| context != task.context) {
                    return Err(Refusal::new(Reason::InvalidParams, "the task is of another context"));
                }
                if task.status != Status::InputRequired {
                    let what = format!("{id} waits for nothing: it is {}", task.status.as_str());
                    return Err(Refusal::new(Reason::UnsupportedOperation, what));
                }
                task
            }
            None => state.add(self.kind, context),
        };
        task.status = Status::Working;
        task.history.extend(task.message.take());
        message["taskId"] = task.id.clone().into();
        message["contextId"] = task.context.clone().into();
        task.history.push(message);
        let (follower, events) = mpsc::unbounded_channel();
        task.followers.push(follower);
        let said = task.history.iter().filter(|message| message["role"] != "ROLE_AGENT").map(text).collect();
        Ok(Begun { id: task.id.clone(), task: task.to_json(history), said, events })
    }

    /// Keeps what works on a task, so that giving up the task ends it.
    pub(super) fn keep(&self, id: &str, turn: AbortOnDropHandle<()>) {
        if let Ok(task) = self.lock().find(self.kind, id) {
            task.turn = Some(turn);
        }
    }

    /// The task as JSON, with at most so many messages of its history.
    pub(super) fn show(&self, id: &str, history: Option<usize>) -> Result<Value, Refusal> {
        self.lock().find(self.kind, id).map(|task| task.to_json(history))
    }

    /// The task as it is, and what happens from now on.
    pub(super) fn follow(&self, id: &str) -> Result<(Value, Events), Refusal> {
        let mut state = self.lock();
        let task = state.find(self.kind, id)?;
        if task.status.is_terminal() {
            return Err(Refusal::new(Reason::UnsupportedOperation, format!("{id} is over")));
        }
        let (follower, events) = mpsc::unbounded_channel();
        if task.status == Status::Working {
            task.followers.push(follower);
        }
        Ok((task.to_json(None), events))
    }

    /// Gives a task up.
    pub(super) fn cancel(&self, id: &str) -> Result<Value, Refusal> {
        let mut state = self.lock();
        let task = state.find(self.kind, id)?;
        if task.status.is_terminal() {
            return Err(Refusal::new(Reason::TaskNotCancelable, format!("{id} is over")));
        }
        task.enter(Status::Canceled, None);
        let (canceled, turn) = (task.to_json(None), task.turn.take());
        // Whoever works on it reports once more when it is dropped, which takes the lock.
        drop(state);
        drop(turn);
        Ok(canceled)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn find(&mut self, kind: &str, id: &str) -> Result<&mut Task, Refusal> {
        let number = id.strip_prefix(kind).and_then(|rest| rest.strip_prefix('-')?.parse().ok());
        number
            .and_then(|number: u64| self.kept.get_mut(&number))
            .filter(|task| task.id == id)
            .ok_or_else(|| Refusal::new(Reason::TaskNotFound, format!("there is no task {id}")))
    }

    fn add(&mut self, kind: &str, context: Option<String>) -> &mut Task {
        while self.kept.len() >= MOST {
            self.kept.pop_first();
        }
        self.last += 1;
        let task = Task {
            id: format!("{kind}-{}", self.last),
            context: context.unwrap_or_else(|| format!("context-{}", self.last)),
            status: Status::Working,
            message: None,
            artifacts: Vec::new(),
            history: Vec::new(),
            written: 0,
            followers: Vec::new(),
            turn: None,
        };
        self.kept.entry(self.last).or_insert(task)
    }
}

impl Task {
    fn to_json(&self, history: Option<usize>) -> Value {
        let skipped = self.history.len().saturating_sub(history.unwrap_or(usize::MAX));
        let history: Vec<&Value> = self.history.iter().skip(skipped).collect();
        json!({
            "id": self.id,
            "contextId": self.context,
            "status": self.status(),
            "artifacts": self.artifacts,
            "history": history,
        })
    }

    fn status(&self) -> Value {
        match &self.message {
            Some(message) => json!({"state": self.status.as_str(), "message": message}),
            None => json!({"state": self.status.as_str()}),
        }
    }

    /// Enters a status. What the agent said before moves into the history.
    fn enter(&mut self, status: Status, says: Option<&str>) {
        self.history.extend(self.message.take());
        self.status = status;
        if let Some(says) = says {
            self.written += 1;
            self.message = Some(json!({
                "messageId": format!("{}-says-{}", self.id, self.written),
                "contextId": self.context,
                "taskId": self.id,
                "role": "ROLE_AGENT",
                "parts": [{"text": says}],
            }));
        }
        let update = json!({"taskId": self.id, "contextId": self.context, "status": self.status()});
        self.tell(&json!({"statusUpdate": update}));
        if status != Status::Working {
            self.followers.clear();
        }
    }

    /// Followers that have left are forgotten.
    fn tell(&mut self, event: &Value) {
        self.followers.retain(|follower| follower.send(event.clone()).is_ok());
    }
}

/// How an agent reports on a task.
pub(in crate::demo) struct Progress {
    tasks: Arc<Tasks>,
    id: String,
}

impl Progress {
    /// Reports on this task.
    pub(super) fn new(tasks: Arc<Tasks>, id: String) -> Self {
        Self { tasks, id }
    }

    /// Enters a status, with a word to the caller. What is over stays over.
    pub(in crate::demo) fn enter(&self, status: Status, says: &str) {
        self.change(|task| task.enter(status, Some(says)));
    }

    /// Hands out an artifact.
    pub(in crate::demo) fn artifact(&self, name: &str, parts: Value) {
        self.change(|task| {
            let id = format!("{}-{}", task.id, task.artifacts.len() + 1);
            let artifact = json!({"artifactId": id, "name": name, "parts": parts});
            task.artifacts.push(artifact.clone());
            let update = json!({
                "taskId": task.id,
                "contextId": task.context,
                "artifact": artifact,
                "append": false,
                "lastChunk": true,
            });
            task.tell(&json!({"artifactUpdate": update}));
        });
    }

    fn change(&self, change: impl FnOnce(&mut Task)) {
        if let Ok(task) = self.tasks.lock().find(self.tasks.kind, &self.id)
            && task.status == Status::Working
        {
            change(task);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        // A turn that ends while the task is under way has broken off.
        self.enter(Status::Failed, "I lost the thread.");
    }
}

/// The text of a message.
fn text(message: &Value) -> String {
    let parts = message["parts"].as_array().into_iter().flatten();
    parts.filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
}

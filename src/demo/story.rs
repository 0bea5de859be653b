//! The story: what the client does, what must come of it, and what it cost. Each step is checked before it is told.

use std::fmt::Display;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::Failure;
use super::caller::{CallError, Caller, message};
use super::screen::{Hop, Screen};
use super::stage::{Sidecar, Stage};
use super::witness::{self, Bytes, Seen, Witness};

/// How many calls are compared, and how many come before that do not count.
const COMPARED: usize = 50;
const WARM_UP: usize = 5;

/// The story as it is told.
pub(super) struct Story<'a> {
    pub(super) stage: &'a Stage,
    pub(super) screen: &'a mut Screen,
    pub(super) witness: &'a mut Witness,
}

/// A chapter's place in the log: all its calls belong to one trace.
struct Trace {
    id: String,
    header: String,
}

impl Trace {
    fn new(chapter: u8) -> Self {
        let id = format!("{chapter:032x}");
        Self { header: format!("00-{id}-{chapter:016x}-01"), id }
    }
}

impl Story<'_> {
    /// Tells all of it.
    pub(super) async fn tell(mut self) -> Result<(), Failure> {
        self.screen.drawing();
        let (task, mut bytes) = self.without_a_budget().await?;
        bytes = bytes.and(self.with_a_budget(&task).await?);
        self.behind_the_planner().await?;
        self.compare(&task, bytes).await
    }

    /// A question that lacks something: the task waits. Gives its ID.
    async fn without_a_budget(&mut self) -> Result<(String, Bytes), Failure> {
        const SAYS: &str = "Three days in Seoul, please.";
        self.screen.chapter(1, "A client asks for a trip, and forgets to say what it may cost");
        self.screen.says("traveller", SAYS, "");
        let Stage { traveller, planner, .. } = self.stage;
        let (trace, before) = (Trace::new(1), Bytes::of(traveller).await?);
        let caller = Caller::new(traveller.base(planner.name)?);
        let answer = caller.call("SendMessage", message("m-1", SAYS, None), Some(&trace.header)).await?;
        let task = &answer["task"];
        expect("the task waits", &task["status"]["state"], "TASK_STATE_INPUT_REQUIRED")?;
        self.screen.says(planner.name, text(&task["status"]["message"]), "INPUT_REQUIRED");
        let calls = self.witness.calls(&trace.id);
        let hop = Hop { first: true, ..hop(traveller, planner, before, &calls).await? };
        self.screen.hop(&hop);
        let id = task["id"].as_str().ok_or_else(|| Failure::Unexpected("a task without an ID".to_owned()))?;
        self.screen.line("");
        Ok((id.to_owned(), hop.bytes))
    }

    /// The task goes on where it was, and what happens streams.
    async fn with_a_budget(&mut self, task: &str) -> Result<Bytes, Failure> {
        const SAYS: &str = "900 USD at most.";
        self.screen
            .chapter(2, "The task goes on; the planner asks an agent of the other mesh; updates stream");
        self.screen.says("traveller", SAYS, "");
        let Stage { traveller, planner, currency, .. } = self.stage;
        let trace = Trace::new(2);
        let before = [Bytes::of(traveller).await?, Bytes::of(planner).await?];
        let caller = Caller::new(traveller.base(planner.name)?);
        let params = message("m-2", SAYS, Some(task));
        let (asked, mut events) = (Instant::now(), Vec::new());
        let streamed = caller.stream("SendStreamingMessage", params, Some(&trace.header), |event| {
            let millis = asked.elapsed().as_secs_f64() * 1000.0;
            show(self.screen, planner.name, millis, &event);
            events.push(event);
        });
        streamed.await?;
        check_events(task, &events)?;
        let calls = self.witness.calls(&trace.id);
        let [before_traveller, before_planner] = before;
        let hops = [
            hop(traveller, planner, before_traveller, &calls).await?,
            Hop { first: true, ..hop(planner, currency, before_planner, &calls).await? },
        ];
        hops.iter().for_each(|hop| self.screen.hop(hop));
        self.screen.line("");
        Ok(hops.iter().fold(Bytes::default(), |sum, hop| sum.and(hop.bytes)))
    }

    /// A caller whom the agent's policy does not name.
    async fn behind_the_planner(&mut self) -> Result<(), Failure> {
        const SAYS: &str = "900 USD in KRW";
        self.screen.chapter(3, "The client asks the other mesh itself, which nobody has allowed");
        self.screen.says("traveller", SAYS, "");
        let Stage { traveller, currency, .. } = self.stage;
        let trace = Trace::new(3);
        let caller = Caller::new(traveller.base(&currency.agent())?);
        let answer = caller.call("SendMessage", message("m-3", SAYS, None), Some(&trace.header)).await;
        let told = match answer {
            Err(CallError::Refused { reason, message }) => {
                expect(
                    "who is not allowed is refused",
                    reason.as_deref().unwrap_or_default(),
                    "PERMISSION_DENIED",
                )?;
                format!("PERMISSION_DENIED: {message}")
            }
            Err(error) => return Err(error.into()),
            Ok(_) => return Err(Failure::Unexpected("who is not allowed has got an answer".to_owned())),
        };
        let calls = self.witness.calls(&trace.id);
        let denied = find(&calls, "inbound", currency)?;
        expect("the agent's sidecar denies it", &denied.decision, "denied")?;
        expect("it knows whom", denied.peer.as_deref().unwrap_or_default(), &*traveller.id())?;
        self.screen.refusal(&told, denied.cause.as_deref().unwrap_or_default());
        self.screen.line("");
        Ok(())
    }

    /// The same call with and without the mesh: the same answer, and how much later.
    async fn compare(&mut self, task: &str, bytes: Bytes) -> Result<(), Failure> {
        let Stage { traveller, planner, planner_url, .. } = self.stage;
        let direct = Caller::new(planner_url.clone());
        let crossing = Caller::new(traveller.base(planner.name)?);
        let mut times = [Vec::new(), Vec::new()];
        for turn in 0..WARM_UP + COMPARED {
            let mut answers = Vec::new();
            for (caller, times) in [&direct, &crossing].into_iter().zip(&mut times) {
                let asked = Instant::now();
                answers.push(caller.call("GetTask", json!({"id": task}), None).await?);
                if turn >= WARM_UP {
                    times.push(asked.elapsed().as_secs_f64() * 1000.0);
                }
            }
            let [with, without] = &answers[..] else { continue };
            if with != without {
                let what = format!("the mesh has altered an answer: {without} has become {with}");
                return Err(Failure::Unexpected(what));
            }
            expect("the task is done", &with["status"]["state"], "TASK_STATE_COMPLETED")?;
        }
        if bytes.protobuf >= bytes.json {
            return Err(Failure::Unexpected(format!("protobuf saves nothing: {bytes:?}")));
        }
        // What the log says of so many calls is of no interest.
        self.witness.calls("");
        let [direct, crossing] = times.map(best);
        self.screen.totals(bytes, COMPARED, direct, crossing);
        Ok(())
    }
}

/// What is known of the call from one sidecar's agent to another's.
async fn hop(caller: &Sidecar, agent: &Sidecar, before: Bytes, calls: &[Seen]) -> Result<Hop, Failure> {
    let (sent, received) = (find(calls, "outbound", agent)?, find(calls, "inbound", agent)?);
    let bytes = Bytes::of(caller).await?.since(before);
    let [from, to] = [witness::identity(caller).await?, witness::identity(agent).await?];
    expect("the caller is who it should be", &*from, &*caller.id())?;
    expect(
        "the agent's sidecar has seen its certificate",
        received.peer.as_deref().unwrap_or_default(),
        &*from,
    )?;
    // The caller's sidecar accepts this very ID and no other, so the call shows that the agent has proved it.
    expect("the agent is who it should be", &*to, &*agent.id())?;
    expect("the log and the metrics agree on bytes", bytes.protobuf, sent.bytes)?;
    if sent.reason.is_some() {
        return Err(Failure::Unexpected(format!("a call has failed: {sent:?}")));
    }
    Ok(Hop {
        operation: sent.operation.clone(),
        agent: agent.agent(),
        address: witness::found(caller, &agent.agent()).await?,
        from,
        to,
        first: false,
        bytes,
        millis: sent.millis,
        inside: received.millis,
    })
}

fn find<'a>(calls: &'a [Seen], direction: &str, agent: &Sidecar) -> Result<&'a Seen, Failure> {
    let found = calls.iter().find(|call| call.direction == direction && call.agent == agent.agent());
    found.ok_or_else(|| Failure::Unexpected(format!("no log has an {direction} call to {}", agent.agent())))
}

/// Shows one event of a stream.
fn show(screen: &mut Screen, who: &str, millis: f64, event: &Value) {
    let status = &event["statusUpdate"]["status"];
    if let Some(state) = status["state"].as_str() {
        screen.event(who, millis, state.trim_start_matches("TASK_STATE_"), text(&status["message"]));
    }
    let artifact = &event["artifactUpdate"]["artifact"];
    if let Some(name) = artifact["name"].as_str() {
        screen.event(who, millis, name, text(artifact));
    }
}

/// The stream begins with the task and ends with its end; in between there is news.
fn check_events(task: &str, events: &[Value]) -> Result<(), Failure> {
    let first = events.first().unwrap_or(&Value::Null);
    expect("the stream begins with the task", &first["task"]["id"], task)?;
    let states = events.iter().filter_map(|event| event["statusUpdate"]["status"]["state"].as_str());
    let states: Vec<&str> = states.collect();
    expect("the task is worked on", states.first().copied().unwrap_or_default(), "TASK_STATE_WORKING")?;
    expect("the task ends well", states.last().copied().unwrap_or_default(), "TASK_STATE_COMPLETED")?;
    let artifacts = events.iter().filter(|event| event["artifactUpdate"].is_object()).count();
    expect("there is an artifact for each day", artifacts, 3)
}

/// The text of the first part.
fn text(value: &Value) -> &str {
    value["parts"][0]["text"].as_str().unwrap_or_default()
}

fn expect<A, B>(what: &str, found: A, expected: B) -> Result<(), Failure>
where
    A: PartialEq<B> + Display,
    B: Display,
{
    if found == expected {
        return Ok(());
    }
    Err(Failure::Unexpected(format!("{what}: {expected} was due, not {found}")))
}

/// The shortest time: what the way takes, not what else the machine has to do.
fn best(times: Vec<f64>) -> f64 {
    times.into_iter().fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events() -> Vec<Value> {
        let status = |state: &str| json!({"statusUpdate": {"status": {"state": state}}});
        let day = json!({"artifactUpdate": {"artifact": {}}});
        vec![
            json!({"task": {"id": "trip-1"}}),
            status("TASK_STATE_WORKING"),
            day.clone(),
            day.clone(),
            day,
            status("TASK_STATE_COMPLETED"),
        ]
    }

    #[test]
    fn a_stream_that_lacks_something_is_no_success() {
        assert!(check_events("trip-1", &events()).is_ok());
        assert!(check_events("trip-2", &events()).is_err());
        for lost in 0..events().len() {
            let mut events = events();
            events.remove(lost);
            let failure = check_events("trip-1", &events).unwrap_err().to_string();
            assert!(failure.contains("was due"), "without {lost}: {failure}");
        }
    }
}

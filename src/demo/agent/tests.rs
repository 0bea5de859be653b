//! What an A2A client may expect of the agent, whatever its skill.

use std::sync::Mutex;

use futures_util::FutureExt as _;
use tokio::sync::oneshot;

use super::*;
use crate::demo::caller::{Caller, message};
use crate::drain::{Trigger, drain};

/// A skill that the test holds: it waits for the gate, then does what it was told.
struct Held(Mutex<Option<oneshot::Receiver<()>>>);

impl Skill for Held {
    fn kind(&self) -> &'static str {
        "job"
    }

    fn card(&self) -> Value {
        json!({"name": "held", "description": "", "skills": []})
    }

    fn turn(&self, turn: Turn) -> BoxFuture<'static, ()> {
        let gate = self.0.lock().unwrap().take();
        async move {
            if let Some(gate) = gate {
                gate.await.unwrap();
            }
            let said = turn.said.join(" + ");
            match turn.said.last().map(String::as_str) {
                Some("ask") => turn.progress.enter(Status::InputRequired, &said),
                Some("break") => {}
                _ => {
                    turn.progress.enter(Status::Working, "at it");
                    turn.progress.artifact("result", json!([{"text": said}]));
                    turn.progress.enter(Status::Completed, "done");
                    turn.progress.enter(Status::Failed, "too late");
                }
            }
        }
        .boxed()
    }
}

fn agent(gate: Option<oneshot::Receiver<()>>) -> Agent {
    let skill = Arc::new(Held(Mutex::new(gate)));
    Agent { tasks: Arc::new(Tasks::new(skill.kind())), skill, url: "http://agent.example/".into() }
}

fn v1() -> HeaderMap {
    [(A2A_VERSION, HeaderValue::from_static("1.0"))].into_iter().collect()
}

async fn call(agent: &Agent, method: &str, params: Value) -> Result<Value, Refusal> {
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    match agent.call(&v1(), request).await? {
        Answer::Once(result) => Ok(result),
        Answer::Stream(task, events) => {
            let mut all = vec![json!({"task": task})];
            all.extend(received(events).collect::<Vec<_>>().await);
            Ok(all.into())
        }
    }
}

async fn refused(agent: &Agent, method: &str, params: Value) -> i64 {
    call(agent, method, params).await.unwrap_err().to_json()["code"].as_i64().unwrap()
}

fn states(events: &Value) -> Vec<&str> {
    let updates = events.as_array().unwrap().iter();
    updates.filter_map(|event| event["statusUpdate"]["status"]["state"].as_str()).collect()
}

#[tokio::test]
async fn a_task_that_waits_goes_on_and_one_that_is_over_does_not() {
    let agent = agent(None);
    let asked = call(&agent, "SendMessage", message("1", "ask", None)).await.unwrap();
    assert_eq!(asked["task"]["status"]["state"], "TASK_STATE_INPUT_REQUIRED");
    assert_eq!(asked["task"]["id"], "job-1");

    let mut params = message("2", "go", Some("job-1"));
    let done = call(&agent, "SendMessage", params.clone()).await.unwrap();
    assert_eq!(done["task"]["artifacts"][0]["parts"][0]["text"], "ask + go");
    assert_eq!(done["task"]["status"]["message"]["parts"][0]["text"], "done");
    let history = done["task"]["history"].as_array().unwrap();
    let texts: Vec<_> = history.iter().map(|message| message["parts"][0]["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["ask", "ask", "go", "at it"]);

    assert_eq!(refused(&agent, "SendMessage", params.clone()).await, -32004);
    params["message"]["taskId"] = "job-01".into();
    assert_eq!(refused(&agent, "SendMessage", params).await, -32001);
    let shown = call(&agent, "GetTask", json!({"id": "job-1", "historyLength": 1})).await.unwrap();
    assert_eq!(shown["history"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_stream_begins_with_the_task_and_ends_with_its_end() {
    let agent = agent(None);
    let events = call(&agent, "SendStreamingMessage", message("1", "go", None)).await.unwrap();
    assert_eq!(events[0]["task"]["status"]["state"], "TASK_STATE_WORKING");
    assert_eq!(states(&events), ["TASK_STATE_WORKING", "TASK_STATE_COMPLETED"]);
    assert_eq!(events[2]["artifactUpdate"]["artifact"]["name"], "result");
    assert_eq!(refused(&agent, "SubscribeToTask", json!({"id": "job-1"})).await, -32004);
}

#[tokio::test]
async fn a_task_that_is_given_up_ends_for_everybody() {
    let (_gate, closed) = oneshot::channel();
    let agent = agent(Some(closed));
    let mut params = message("1", "go", None);
    params["configuration"] = json!({"returnImmediately": true});
    let begun = call(&agent, "SendMessage", params).await.unwrap();
    assert_eq!(begun["task"]["status"]["state"], "TASK_STATE_WORKING");
    let follow = call(&agent, "SubscribeToTask", json!({"id": "job-1"}));
    let cancel = call(&agent, "CancelTask", json!({"id": "job-1"}));
    let (events, canceled) = tokio::join!(follow, cancel);
    assert_eq!(canceled.unwrap()["status"]["state"], "TASK_STATE_CANCELED");
    assert_eq!(states(&events.unwrap()), ["TASK_STATE_CANCELED"]);
    assert_eq!(refused(&agent, "CancelTask", json!({"id": "job-1"})).await, -32002);
}

#[tokio::test]
async fn a_turn_that_breaks_off_fails_the_task() {
    let done = call(&agent(None), "SendMessage", message("1", "break", None)).await.unwrap();
    assert_eq!(done["task"]["status"]["state"], "TASK_STATE_FAILED");
}

#[tokio::test]
async fn what_cannot_be_done_has_the_code_of_the_specification() {
    let agent = agent(None);
    let with = |member: &str, value: Value| {
        let mut params = message("1", "go", None);
        params["message"][member] = value;
        params
    };
    for (method, params, code) in [
        ("GetTask", json!({"id": "job-9"}), -32001),
        ("GetTask", json!({}), -32602),
        ("CancelTask", json!({"id": "nothing"}), -32001),
        ("SendMessage", json!({}), -32602),
        ("SendMessage", with("messageId", Value::Null), -32602),
        ("SendMessage", with("role", "ROLE_AGENT".into()), -32602),
        ("SendMessage", with("parts", json!([])), -32602),
        ("SendMessage", with("parts", json!([{"url": "http://a"}])), -32005),
        ("ListTasks", json!({}), -32004),
        ("CreateTaskPushNotificationConfig", json!({}), -32003),
        ("GetExtendedAgentCard", json!({}), -32007),
        ("message/send", json!({}), -32601),
    ] {
        assert_eq!(refused(&agent, method, params).await, code, "{method}");
    }
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": "job-1"}});
    let refusal = agent.call(&HeaderMap::new(), request.clone()).await.err().unwrap().to_json();
    assert_eq!(
        (&refusal["code"], &refusal["data"][0]["reason"]),
        (&json!(-32009), &json!("VERSION_NOT_SUPPORTED"))
    );
    let mut request = request;
    request["jsonrpc"] = "1.0".into();
    assert_eq!(agent.call(&v1(), request).await.err().unwrap().to_json()["code"], -32600);
}

/// Serves a skill on a free port, for as long as the rest is kept.
async fn served(skill: impl Skill) -> (http::Uri, Trigger, AbortOnDropHandle<()>) {
    let (trigger, draining) = drain();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    (url, trigger, serve(listener, Arc::new(skill), draining).unwrap())
}

#[tokio::test]
async fn it_all_goes_over_plain_http() {
    let (url, _trigger, _serving) = served(Held(Mutex::default())).await;
    let card: http::Uri = format!("{url}.well-known/agent-card.json").parse().unwrap();
    let card: Value = serde_json::from_str(&Caller::new(card).get().await.unwrap()).unwrap();
    assert_eq!(card["supportedInterfaces"][0]["url"], url.to_string());
    let caller = Caller::new(url);
    let mut events = Vec::new();
    let streamed =
        caller.stream("SendStreamingMessage", message("1", "go", None), None, |event| events.push(event));
    streamed.await.unwrap();
    assert_eq!(states(&events.into()), ["TASK_STATE_WORKING", "TASK_STATE_COMPLETED"]);
    let error = caller.call("GetTask", json!({"id": "x"}), None).await.unwrap_err().to_string();
    assert_eq!(error, "there is no task x (TASK_NOT_FOUND)");
}

#[tokio::test]
async fn the_planner_asks_the_exchange_and_says_what_it_cannot_do() {
    use crate::demo::{currency::Currency, planner::Planner};
    let (url, _trigger, serving) = served(Currency).await;
    let planner = Planner { exchange: Caller::new(url), thinks: std::time::Duration::ZERO };
    let agent = Agent { tasks: Arc::new(Tasks::new("trip")), skill: Arc::new(planner), url: String::new() };
    let ask = async |text, task| call(&agent, "SendMessage", message("1", text, task)).await.unwrap();
    for (text, task, state, says) in [
        ("Seoul", None, "TASK_STATE_INPUT_REQUIRED", "What may it cost?"),
        ("7 XYZ", Some("trip-1"), "TASK_STATE_INPUT_REQUIRED", "The exchange says: I know only CHF, EUR"),
        ("7 EUR", Some("trip-1"), "TASK_STATE_INPUT_REQUIRED", "11,293 KRW are not enough for 3 days"),
        ("2000 EUR", Some("trip-1"), "TASK_STATE_COMPLETED", "3 days in Seoul for 1,325,000 KRW"),
        ("Paris", None, "TASK_STATE_REJECTED", "I only know Seoul"),
    ] {
        let task = ask(text, task).await["task"]["status"].take();
        let said = task["message"]["parts"][0]["text"].as_str().unwrap();
        assert!(task["state"] == state && said.starts_with(says), "{text}: {task}");
    }
    drop(serving);
    let (url, _, _) = served(Currency).await;
    let planner = Planner { exchange: Caller::new(url), thinks: std::time::Duration::ZERO };
    let agent = Agent { tasks: Arc::new(Tasks::new("trip")), skill: Arc::new(planner), url: String::new() };
    let alone = call(&agent, "SendMessage", message("1", "Seoul, 900 USD", None)).await.unwrap();
    assert_eq!(alone["task"]["status"]["state"], "TASK_STATE_FAILED");
}

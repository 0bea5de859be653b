//! The tenant that names the agent goes no further than the caller's sidecar, and comes back in answers that have one.

use dragoman::a2a::Operation;
use serde_json::{Value, json};

use crate::harness::mesh::Pair;
use crate::harness::peer::Peer;

const WEBHOOK: &str = r#""id":"p","taskId":"t","url":"https://h.example""#;

/// Calls `currency` for a webhook, sees what the agent sees, has it answer, and gives back what the caller sees.
async fn ask(
    pair: &mut Pair,
    caller: &Peer,
    operation: Operation,
    params: &str,
    headers: &[(&str, &str)],
    agent: impl FnOnce(&Value) -> String,
) -> Value {
    let (answer, ()) = tokio::join!(caller.call(operation, params, headers), async {
        let request = pair.agent.request().await;
        let result = agent(&request.json()["params"]);
        request.result(&result).await;
    });
    serde_json::from_str(&answer.json(operation)).unwrap()
}

#[tokio::test]
async fn webhooks_have_the_agents_tenant_there_and_the_callers_here() {
    let mut pair = Pair::start().await;
    let caller = Peer::plain(pair.planner.outbound).await;
    let name = format!("currency.{}", pair.mesh.namespace);
    for (sent, own) in
        [(name.clone(), ""), (format!("{name}/acme"), "acme"), (format!("{name}.east/a/b"), "a/b")]
    {
        for operation in
            [Operation::CreateTaskPushNotificationConfig, Operation::GetTaskPushNotificationConfig]
        {
            let params = format!(r#"{{"tenant":"{sent}",{WEBHOOK}}}"#);
            let params = match operation {
                Operation::GetTaskPushNotificationConfig => {
                    format!(r#"{{"tenant":"{sent}","id":"p","taskId":"t"}}"#)
                }
                _ => params,
            };
            for answered in [own, ""] {
                let seen = ask(&mut pair, &caller, operation, &params, &[], |params| {
                    assert_eq!(params["tenant"].as_str().unwrap_or_default(), own);
                    format!(r#"{{"tenant":"{answered}",{WEBHOOK},"new":1.0}}"#)
                })
                .await;
                assert_eq!((&seen["tenant"], &seen["new"]), (&json!(sent), &json!(1.0)), "{operation}");
            }
        }
        let params = format!(r#"{{"tenant":"{sent}","taskId":"t"}}"#);
        let operation = Operation::ListTaskPushNotificationConfigs;
        let seen = ask(&mut pair, &caller, operation, &params, &[], |params| {
            assert_eq!(params["tenant"].as_str().unwrap_or_default(), own);
            format!(r#"{{"configs":[{{{WEBHOOK}}},{{"tenant":"{own}",{WEBHOOK}}}],"nextPageToken":"n"}}"#)
        })
        .await;
        let tenants: Vec<_> = seen["configs"].as_array().unwrap().iter().map(|one| &one["tenant"]).collect();
        assert_eq!((tenants, &seen["nextPageToken"]), (vec![&json!(sent); 2], &json!("n")));
    }
}

#[tokio::test]
async fn an_own_tenant_is_nobody_elses_business() {
    let mut pair = Pair::start().await;
    let caller = Peer::plain(pair.planner.outbound).await;
    let operation = Operation::CreateTaskPushNotificationConfig;
    let params = format!(r#"{{"tenant":"acme",{WEBHOOK}}}"#);
    let seen = ask(&mut pair, &caller, operation, &params, &[super::CURRENCY], |params| {
        assert_eq!(params["tenant"], "acme");
        format!(r#"{{"tenant":"other",{WEBHOOK}}}"#)
    })
    .await;
    assert_eq!(seen["tenant"], "other");
}

#[tokio::test]
async fn the_webhook_that_comes_with_a_message_has_the_agents_tenant_too() {
    let mut pair = Pair::start().await;
    let caller = Peer::plain(pair.planner.outbound).await;
    let name = format!("currency.{}", pair.mesh.namespace);
    let params = format!(
        r#"{{"tenant":"{name}/acme","message":{{"messageId":"m","role":"ROLE_USER","parts":[{{"text":"x"}}]}},
            "configuration":{{"taskPushNotificationConfig":{{"tenant":"{name}/acme","url":"u"}}}}}}"#
    );
    ask(&mut pair, &caller, Operation::SendMessage, &params, &[], |params| {
        assert_eq!(params["tenant"], "acme");
        assert_eq!(
            params["configuration"]["taskPushNotificationConfig"],
            json!({"tenant": "acme", "url": "u"})
        );
        r#"{"task":{"id":"t","status":{}}}"#.to_owned()
    })
    .await;
}

//! Following a task that is there already: in 1.0 it comes first, in 0.3 each SDK does as it likes.

use dragoman::a2a::Operation as O;

use crate::harness::dialect::{PAIRS, Said, Talk, V0_3, V1_0};
use crate::harness::json::{canonical, value};

const SUBSCRIBE: O = O::SubscribeToTask;
const PARAMS: &str = r#"{"id":"t"}"#;

#[tokio::test]
async fn an_agent_that_begins_with_the_task_is_not_asked_for_it_again() {
    for pair in PAIRS {
        let mut talk = Talk::start(pair).await;
        let (caller, request) = talk.begin(SUBSCRIBE, PARAMS).await;
        assert_eq!(canonical(&request.params()), PARAMS);
        let mut stream = request.stream().await;
        stream.event(&talk.agent(Said::Task("working"))).await;
        stream.last(&talk.agent(Said::Update("completed", true))).await;
        let mut caller = caller.reading().await;
        for said in [Said::Task("working"), Said::Update("completed", true)] {
            assert_eq!(canonical(&caller.result().await), canonical(&talk.caller(said)), "{talk}");
        }
        assert_eq!(caller.event().await, None);
        assert!(!talk.pair.agent.was_asked(), "{talk}");
    }
}

#[tokio::test]
async fn an_agent_of_0_3_that_begins_with_news_is_asked_for_the_task_first() {
    for caller in [V0_3, V1_0] {
        let mut talk = Talk::start((caller, V0_3)).await;
        let (caller, request) = talk.begin(SUBSCRIBE, PARAMS).await;
        let mut stream = request.stream().await;
        stream.event(&talk.agent(Said::Update("working", false))).await;
        let request = talk.asked(O::GetTask).await;
        assert_eq!(canonical(&request.params()), PARAMS);
        request.result(&talk.agent(Said::Bare("submitted"))).await;
        stream.last(&talk.agent(Said::Update("completed", true))).await;
        let mut caller = caller.reading().await;
        for said in [Said::Task("submitted"), Said::Update("working", false), Said::Update("completed", true)]
        {
            assert_eq!(canonical(&caller.result().await), canonical(&talk.caller(said)), "{talk}");
        }
        assert_eq!(caller.event().await, None);
    }
}

#[tokio::test]
async fn an_agent_of_0_3_that_answers_nothing_yet_is_asked_for_the_task_meanwhile() {
    for begins in [false, true] {
        for caller in [V0_3, V1_0] {
            let mut talk = Talk::start((caller, V0_3)).await;
            let (caller, waiting) = talk.begin(SUBSCRIBE, PARAMS).await;
            let mut waiting = Some(waiting);
            let mut stream = match begins {
                true => Some(waiting.take().unwrap().stream().await),
                false => None,
            };
            talk.asked(O::GetTask).await.result(&talk.agent(Said::Bare("working"))).await;
            let mut caller = caller.reading().await;
            assert_eq!(canonical(&caller.result().await), canonical(&talk.caller(Said::Task("working"))));
            if let Some(waiting) = waiting {
                stream = Some(waiting.stream().await);
            }
            stream.unwrap().last(&talk.agent(Said::Update("completed", true))).await;
            let expected = talk.caller(Said::Update("completed", true));
            assert_eq!(canonical(&caller.result().await), canonical(&expected), "{talk}");
            assert_eq!(caller.event().await, None);
        }
    }
}

#[tokio::test]
async fn a_task_that_came_meanwhile_does_not_come_twice() {
    for caller in [V0_3, V1_0] {
        let mut talk = Talk::start((caller, V0_3)).await;
        let (caller, waiting) = talk.begin(SUBSCRIBE, PARAMS).await;
        talk.asked(O::GetTask).await.result(&talk.agent(Said::Bare("working"))).await;
        let mut caller = caller.reading().await;
        caller.result().await;
        let mut stream = waiting.stream().await;
        // Some SDKs cannot stand a second one.
        stream.event(&talk.agent(Said::Task("working"))).await;
        stream.last(&talk.agent(Said::Update("completed", true))).await;
        let expected = talk.caller(Said::Update("completed", true));
        assert_eq!(canonical(&caller.result().await), canonical(&expected), "{talk}");
    }
}

#[tokio::test]
async fn an_agent_that_cannot_tell_the_task_is_followed_all_the_same() {
    let mut talk = Talk::start((V1_0, V0_3)).await;
    let (caller, request) = talk.begin(SUBSCRIBE, PARAMS).await;
    let mut stream = request.stream().await;
    stream.event(&talk.agent(Said::Update("working", false))).await;
    talk.asked(O::GetTask).await.error(r#"{"code":-32603,"message":"m"}"#).await;
    stream.last(&talk.agent(Said::Update("completed", true))).await;
    let mut caller = caller.reading().await;
    for said in [Said::Update("working", false), Said::Update("completed", true)] {
        assert_eq!(canonical(&caller.result().await), canonical(&talk.caller(said)));
    }
    assert_eq!(caller.event().await, None);
}

const OVER: &str = r#"{"code":-32004,"message":"the task is over"}"#;

#[tokio::test]
async fn a_task_of_1_0_that_is_over_is_shown_to_0_3_and_refused_to_1_0() {
    for in_stream in [false, true] {
        let mut talk = Talk::start((V0_3, V1_0)).await;
        let (caller, request) = talk.begin(SUBSCRIBE, PARAMS).await;
        match in_stream {
            false => request.error(OVER).await,
            true => request.stream().await.error(OVER).await,
        }
        let request = talk.asked(O::GetTask).await;
        assert_eq!(canonical(&request.params()), PARAMS);
        request.result(&talk.agent(Said::Bare("completed"))).await;
        let mut caller = caller.reading().await;
        assert_eq!(canonical(&caller.result().await), canonical(&talk.caller(Said::Task("completed"))));
        assert_eq!(caller.event().await, None);

        // An agent that cannot tell the task either has said what there is to say.
        let (caller, request) = talk.begin(SUBSCRIBE, PARAMS).await;
        match in_stream {
            false => request.error(OVER).await,
            true => request.stream().await.error(OVER).await,
        }
        talk.asked(O::GetTask).await.error(r#"{"code":-32001,"message":"m"}"#).await;
        assert_eq!(canonical(&caller.reading().await.last_error().await), OVER);

        let mut talk = Talk::start((V1_0, V1_0)).await;
        let (caller, request) = talk.begin(SUBSCRIBE, PARAMS).await;
        match in_stream {
            false => request.error(OVER).await,
            true => request.stream().await.error(OVER).await,
        }
        assert_eq!(canonical(&caller.reading().await.last_error().await), OVER);
        assert!(!talk.pair.agent.was_asked());
    }
}

#[tokio::test]
async fn what_an_agent_of_0_3_refuses_is_refused() {
    for caller in [V0_3, V1_0] {
        let mut talk = Talk::start((caller, V0_3)).await;
        for code in [-32602, -32001, -32004] {
            let (caller, request) = talk.begin(SUBSCRIBE, PARAMS).await;
            request.error(&format!(r#"{{"code":{code},"message":"m"}}"#)).await;
            let error = value(&caller.reading().await.last_error().await);
            assert_eq!(error["code"], code, "{talk}");
            assert!(!talk.pair.agent.was_asked(), "{talk}");
        }
    }
}

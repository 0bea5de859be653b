//! The tenant by which a gRPC caller names an agent, as the card that was written for it says: `agent.namespace`, perhaps
//! with a mesh, and behind a slash the agent's own tenant. The agent gets its own, the caller sees what it has sent.

use crate::a2a::{Name, Operation};
use crate::codec::Error;
use crate::codec::schema::{self, Kind, Message};
use crate::codec::wire::{Edit, append, edit, last_string};

use super::Hosts;

const TENANT: &str = "tenant";
/// The fields that lead to the webhooks in a message, of which each has a tenant of its own.
const TO_WEBHOOKS: [&str; 3] = ["configuration", "taskPushNotificationConfig", "configs"];

/// A tenant that names an agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Tenant {
    /// The agent.
    pub(super) name: Name,
    /// All of it, as it was sent.
    text: Box<str>,
    /// How much of it names the agent.
    named: usize,
}

impl Tenant {
    /// Reads a tenant; `None` if it is an agent's own. One label is: a card never names an agent so shortly.
    pub(super) fn read(text: &str, hosts: &Hosts) -> Option<Self> {
        let named = text.split('/').next().unwrap_or_default();
        let labels = named.strip_suffix(".a2a").unwrap_or(named);
        if named.contains(':') || !labels.contains('.') || labels.ends_with('.') {
            return None;
        }
        let name = Name::parse(named, &hosts.home).ok().filter(|name| hosts.knows(name.mesh()))?;
        Some(Self { name, text: text.into(), named: named.len() })
    }

    /// The request as the agent gets it.
    pub(super) fn restore(&self, operation: Operation, body: &[u8]) -> Result<Vec<u8>, Error> {
        let prefix = self.prefix();
        let own = |tenant: &str| match tenant.strip_prefix(prefix) {
            Some("") => String::new(),
            Some(rest) if rest.starts_with('/') => rest[1..].to_owned(),
            _ => tenant.to_owned(),
        };
        change(schema::request(operation), body, &own, "")
    }

    /// Whether answers to that operation have tenants in them.
    pub(super) fn comes_back(operation: Operation) -> bool {
        matches!(
            operation,
            Operation::CreateTaskPushNotificationConfig
                | Operation::GetTaskPushNotificationConfig
                | Operation::ListTaskPushNotificationConfigs
        )
    }

    /// The answer as the caller gets it.
    pub(super) fn put_back(&self, operation: Operation, answer: &[u8]) -> Result<Vec<u8>, Error> {
        let sent = |own: &str| match own {
            "" => self.text.to_string(),
            own => format!("{}/{own}", self.prefix()),
        };
        change(schema::response(operation), answer, &sent, &self.text)
    }

    fn prefix(&self) -> &str {
        self.text.get(..self.named).unwrap_or_default()
    }
}

/// The tenant of a request.
pub(super) fn of(operation: Operation, body: &[u8]) -> Result<&str, Error> {
    number(schema::request(operation)).map_or(Ok(""), |number| last_string(body, number))
}

fn number(message: &Message) -> Option<u32> {
    message.by_name(TENANT).and_then(|index| message.fields.get(index)).map(|field| field.number)
}

/// The message with `change` made to its tenant and to those of the webhooks in it; `absent` is put where there is none.
fn change(
    message: &'static Message,
    wire: &[u8],
    change_to: &dyn Fn(&str) -> String,
    absent: &str,
) -> Result<Vec<u8>, Error> {
    let mut is_there = false;
    let mut out = edit(wire, |field, out| {
        let known = message.by_number(field.number).and_then(|index| message.fields.get(index));
        match known {
            Some(known) if known.json == TENANT => {
                is_there = true;
                let tenant = field.value.text()?;
                let changed = change_to(tenant);
                if changed == tenant {
                    return Ok(Edit::Keep);
                }
                if !changed.is_empty() {
                    append(out, field.number, changed.as_bytes());
                }
                Ok(Edit::Done)
            }
            Some(known) if TO_WEBHOOKS.contains(&known.json) => {
                let Kind::Message(inner) = known.kind else { return Ok(Edit::Keep) };
                append(out, field.number, &change(inner, field.value.bytes()?, change_to, absent)?);
                Ok(Edit::Done)
            }
            _ => Ok(Edit::Keep),
        }
    })?;
    if let Some(number) = number(message).filter(|_| !is_there && !absent.is_empty()) {
        append(&mut out, number, absent.as_bytes());
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::a2a::Home;
    use crate::codec::{self, Reading};

    fn hosts() -> Hosts {
        Hosts {
            home: Home { namespace: "travel".into(), mesh: "east".into() },
            listen: Vec::new(),
            cluster_domains: vec![
                ("cluster.local".into(), "east".into()),
                ("west.local".into(), "west".into()),
            ],
            forward: Vec::new(),
        }
    }

    fn named(text: &str) -> Option<String> {
        Tenant::read(text, &hosts()).map(|tenant| tenant.name.to_string())
    }

    #[test]
    fn a_tenant_names_an_agent_as_cards_do() {
        for (text, name) in [
            ("currency.travel", "currency.travel.east"),
            ("currency.travel/", "currency.travel.east"),
            ("currency.travel/a/b", "currency.travel.east"),
            ("Currency.Bank.West/x", "currency.bank.west"),
            ("currency.travel.a2a", "currency.travel.east"),
        ] {
            assert_eq!(named(text).as_deref(), Some(name), "{text}");
        }
    }

    #[test]
    fn any_other_tenant_is_the_agents_own() {
        for text in [
            "",
            "/",
            "/currency.travel",
            "acme",
            "acme/currency.travel",
            "acme.",
            "acme.a2a",
            "currency.travel:80",
            "currency.travel.north",
            "a.b.c.d",
            "a_b.travel",
            "ünïcode.travel",
        ] {
            assert_eq!(named(text), None, "{text}");
        }
    }

    fn request(operation: Operation, json: &str) -> Vec<u8> {
        codec::read(schema::request(operation), json, Reading::Request, 1 << 20).unwrap()
    }

    #[test]
    fn the_agent_gets_its_own_tenant_and_nothing_else_changes() {
        for (sent, own) in [
            ("currency.travel", r#""id":"t""#),
            ("currency.travel/", r#""id":"t""#),
            ("currency.travel/acme", r#""tenant":"acme","id":"t""#),
            ("currency.travel/a.b/c", r#""tenant":"a.b/c","id":"t""#),
        ] {
            let tenant = Tenant::read(sent, &hosts()).unwrap();
            let mut body = request(Operation::GetTask, &format!(r#"{{"tenant":"{sent}","id":"t"}}"#));
            append(&mut body, 1000, b"unknown");
            assert_eq!(of(Operation::GetTask, &body).unwrap(), sent);
            let mut expected = request(Operation::GetTask, &format!("{{{own}}}"));
            append(&mut expected, 1000, b"unknown");
            assert_eq!(tenant.restore(Operation::GetTask, &body).unwrap(), expected, "{sent}");
        }
    }

    #[test]
    fn the_webhook_that_comes_with_a_message_has_the_agents_tenant_too() {
        let tenant = Tenant::read("c.travel/x", &hosts()).unwrap();
        let json = |top: &str, webhook: &str| {
            let message = r#""message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"x"}]}"#;
            let webhook = format!(r#""taskPushNotificationConfig":{{"url":"u"{webhook}}}"#);
            format!(r#"{{"tenant":"{top}",{message},"configuration":{{{webhook},"historyLength":1}}}}"#)
        };
        for (sent, own) in [
            ("", ""),
            (r#","tenant":"c.travel/x""#, r#","tenant":"x""#),
            (r#","tenant":"c.travelling""#, r#","tenant":"c.travelling""#),
        ] {
            let body = request(Operation::SendMessage, &json("c.travel/x", sent));
            let expected = request(Operation::SendMessage, &json("x", own));
            assert_eq!(tenant.restore(Operation::SendMessage, &body).unwrap(), expected);
        }
    }

    #[test]
    fn the_caller_sees_the_tenant_that_it_has_sent() {
        let operation = Operation::ListTaskPushNotificationConfigs;
        let list = |tenants: [&str; 3]| {
            let configs = tenants.map(|tenant| format!(r#"{{{tenant}"id":"p","taskId":"t","url":"u"}}"#));
            let json = format!(r#"{{"configs":[{}],"nextPageToken":"n"}}"#, configs.join(","));
            codec::read(schema::response(operation), &json, Reading::Reply, 1 << 20).unwrap()
        };
        let text = |wire: &[u8]| {
            let mut json = Vec::new();
            codec::write(schema::response(operation), wire, &mut json).unwrap();
            String::from_utf8(json).unwrap()
        };
        for (sent, seen) in
            [("c.travel", ["c.travel", "c.travel/x"]), ("c.travel/x", ["c.travel/x", "c.travel/x"])]
        {
            let tenant = Tenant::read(sent, &hosts()).unwrap();
            let answer = list(["", r#""tenant":"x","#, r#""tenant":"","#]);
            let seen = [seen[0], seen[1], seen[0]].map(|tenant| format!(r#""tenant":"{tenant}","#));
            let expected = list([&seen[0], &seen[1], &seen[2]]);
            let put_back = text(&tenant.put_back(operation, &answer).unwrap());
            let members = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(members(&put_back), members(&text(&expected)));
        }
    }

    #[test]
    fn what_is_no_protobuf_is_an_error() {
        let tenant = Tenant::read("c.travel", &hosts()).unwrap();
        assert!(of(Operation::GetTask, b"\xff").is_err());
        assert!(tenant.restore(Operation::GetTask, b"\x0a\x05x").is_err());
        assert!(tenant.put_back(Operation::ListTaskPushNotificationConfigs, b"\x08\x01\x0a").is_err());
    }
}

//! The currency exchange: an agent that says what an amount is worth in another currency.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::agent::{Skill, Status, Turn};
use super::money::{Money, codes_in, currencies};

/// Answers questions like `900 USD in KRW`.
#[derive(Debug)]
pub(super) struct Currency;

impl Skill for Currency {
    fn kind(&self) -> &'static str {
        "exchange"
    }

    fn card(&self) -> Value {
        json!({
            "name": "Currency exchange",
            "description": "Says what money is worth elsewhere.",
            "skills": [{
                "id": "convert",
                "name": "Convert",
                "description": format!("Converts between {}.", currencies()),
                "tags": ["money"],
                "examples": ["900 USD in KRW"],
            }],
        })
    }

    fn turn(&self, turn: Turn) -> BoxFuture<'static, ()> {
        async move {
            let said = turn.said.join("\n");
            let Some((amount, to)) = question(&said) else {
                let ask = "Say how much of what, and in what you want it: 900 USD in KRW.";
                return turn.progress.enter(Status::InputRequired, ask);
            };
            let Some(worth) = amount.clone().into_currency(&to) else {
                let ask = format!("I know only {}. Which of them do you mean?", currencies());
                return turn.progress.enter(Status::InputRequired, &ask);
            };
            let says = format!("{amount} are {worth}");
            let data = json!({
                "from": amount.currency,
                "amountHundredths": amount.hundredths,
                "to": worth.currency,
                "worthHundredths": worth.hundredths,
            });
            turn.progress.artifact("conversion", json!([{"text": says}, {"data": data}]));
            turn.progress.enter(Status::Completed, &says);
        }
        .boxed()
    }
}

/// The amount, and the currency that it is wanted in: what was said last counts.
fn question(said: &str) -> Option<(Money, String)> {
    let amount = Money::last_in(said)?;
    let to = codes_in(said).into_iter().rfind(|code| *code != amount.currency)?;
    Some((amount, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_an_amount_and_another_currency() {
        for (said, amount, to) in [
            ("900 USD in KRW", "900 USD", "KRW"),
            ("How many JPY are 12.50 EUR?", "12.50 EUR", "JPY"),
            ("900 USD in XYZ\nI mean CHF", "900 USD", "CHF"),
        ] {
            let (found, wanted) = question(said).unwrap();
            assert_eq!((found.to_string().as_str(), wanted.as_str()), (amount, to), "{said}");
        }
        for said in ["900 USD", "USD in KRW", "hello"] {
            assert_eq!(question(said), None, "{said}");
        }
    }
}

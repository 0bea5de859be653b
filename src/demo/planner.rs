//! The travel planner: an agent that plans days in Seoul, and asks a currency exchange what the budget is worth there. All
//! it knows of the exchange is a base URL.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::agent::{Skill, Status, Turn};
use super::caller::{Caller, message};
use super::money::Money;

const WON: &str = "KRW";
/// What there is to see, a day each, with what it costs in won.
const DAYS: [(&str, u64); 5] = [
    ("Gyeongbokgung, Bukchon's lanes, bibimbap in Insadong", 65_000),
    ("Hiking on Bukhansan, a bathhouse, Gwangjang market at night", 48_000),
    ("The War Memorial, Itaewon, sunset from Namsan tower", 72_000),
    ("Suwon and its fortress by train, galbi where it comes from", 90_000),
    ("The palace of Changdeokgung and its secret garden, tea", 55_000),
];
/// Where to sleep, the best first, with what a night costs in won.
const BEDS: [(&str, u64); 3] = [
    ("a hotel with a view of the palace", 380_000),
    ("a hanok in Bukchon", 190_000),
    ("a guesthouse in Hongdae", 60_000),
];

/// Plans days in Seoul.
#[derive(Clone, Debug)]
pub(super) struct Planner {
    /// Where it asks what money is worth.
    pub(super) exchange: Caller,
    /// How long it thinks about each day, so that one can watch.
    pub(super) thinks: Duration,
}

/// What the traveller wants.
#[derive(Debug, PartialEq)]
struct Wish {
    days: usize,
    budget: Option<Money>,
}

/// What the traveller gets.
#[derive(Debug, PartialEq)]
struct Plan {
    bed: &'static str,
    days: Vec<(&'static str, u64)>,
    total: u64,
}

impl Skill for Planner {
    fn kind(&self) -> &'static str {
        "trip"
    }

    fn card(&self) -> Value {
        json!({
            "name": "Travel planner",
            "description": "Plans days in Seoul on a budget.",
            "skills": [{
                "id": "plan",
                "name": "Plan",
                "description": "Plans one to five days in Seoul on a budget in any money.",
                "tags": ["travel"],
                "examples": ["Three days in Seoul for 900 USD"],
            }],
        })
    }

    fn turn(&self, turn: Turn) -> BoxFuture<'static, ()> {
        let planner = self.clone();
        async move {
            let (status, says) = planner.plan(&turn).await;
            turn.progress.enter(status, &says);
        }
        .boxed()
    }
}

impl Planner {
    /// Works on a wish; how that ends, and what there is to say about it.
    async fn plan(&self, turn: &Turn) -> (Status, String) {
        let wish = match Wish::read(&turn.said.join("\n")) {
            Ok(wish) => wish,
            Err(why_not) => return (Status::Rejected, why_not.to_owned()),
        };
        let Some(budget) = wish.budget else {
            return (Status::InputRequired, "What may it cost? For instance 900 USD.".to_owned());
        };
        turn.progress.enter(Status::Working, &format!("Asking the exchange how many won {budget} are"));
        let won = match self.in_won(&budget, turn.traceparent.as_deref()).await {
            Ok(won) => won,
            Err(end) => return end,
        };
        let Some(plan) = Plan::within(wish.days, won.hundredths / 100) else {
            let says = format!("{won} are not enough for {} days. What else may it cost?", wish.days);
            return (Status::InputRequired, says);
        };
        turn.progress.enter(Status::Working, &format!("{budget} are {won}: that will be {}", plan.bed));
        for (day, (what, cost)) in plan.days.iter().enumerate() {
            sleep(self.thinks).await;
            let text = format!("{what}: {}", Money::whole(*cost, WON));
            turn.progress.artifact(&format!("Day {}", day + 1), json!([{"text": text}]));
        }
        let total = Money::whole(plan.total, WON);
        (Status::Completed, format!("{} days in Seoul for {total}, in {}", wish.days, plan.bed))
    }

    /// Asks the exchange. If it has no answer, that is the end of the turn.
    async fn in_won(&self, budget: &Money, traceparent: Option<&str>) -> Result<Money, (Status, String)> {
        let ask = message("how-many-won", &format!("{budget} in {WON}"), None);
        let answer = self.exchange.call("SendMessage", ask, traceparent).await;
        let answer =
            answer.map_err(|error| (Status::Failed, format!("The exchange cannot be asked: {error}")))?;
        let task = &answer["task"];
        let said = task["status"]["message"]["parts"][0]["text"].as_str().unwrap_or_default();
        if task["status"]["state"] == Status::InputRequired.as_str() {
            return Err((Status::InputRequired, format!("The exchange says: {said}")));
        }
        let parts = task["artifacts"][0]["parts"].as_array().into_iter().flatten();
        let worth = parts.filter_map(|part| part["data"]["worthHundredths"].as_u64()).next();
        let hundredths = worth.ok_or_else(|| (Status::Failed, format!("The exchange only said: {said}")))?;
        Ok(Money { hundredths, currency: WON.to_owned() })
    }
}

impl Wish {
    /// Reads what was said, or says why it is not for this agent.
    fn read(said: &str) -> Result<Self, &'static str> {
        if !said.to_lowercase().contains("seoul") {
            return Err("I only know Seoul.");
        }
        let words: Vec<String> = said.split_whitespace().map(str::to_lowercase).collect();
        let before = |pair: &[String]| match pair {
            [count, days] if days.starts_with("day") => number(count),
            _ => None,
        };
        let days = words.windows(2).filter_map(before).next_back().unwrap_or(3);
        if !(1..=DAYS.len()).contains(&days) {
            return Err("I plan one to five days.");
        }
        Ok(Self { days, budget: Money::last_in(said) })
    }
}

impl Plan {
    /// The best that so many won can buy.
    fn within(days: usize, won: u64) -> Option<Self> {
        let days: Vec<_> = DAYS.into_iter().take(days).collect();
        let seen: u64 = days.iter().map(|(_, cost)| cost).sum();
        let nights = days.len() as u64;
        let (bed, total) = BEDS
            .into_iter()
            .map(|(bed, night)| (bed, seen + night * nights))
            .find(|(_, total)| *total <= won)?;
        Some(Self { bed, days, total })
    }
}

fn number(word: &str) -> Option<usize> {
    let words = ["zero", "one", "two", "three", "four", "five"];
    words.iter().position(|known| *known == word).or_else(|| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_names_days_and_a_budget_or_leaves_the_budget_out() {
        let budget = Some(Money::whole(900, "USD"));
        assert_eq!(Wish::read("Three days in Seoul for 900 USD"), Ok(Wish { days: 3, budget }));
        assert_eq!(Wish::read("2 days in SEOUL, please"), Ok(Wish { days: 2, budget: None }));
        let budget = Some(Money::whole(50, "EUR"));
        assert_eq!(Wish::read("Seoul! one day\n900 USD\nno, 50 EUR"), Ok(Wish { days: 1, budget }));
        assert!(Wish::read("three days in Paris for 900 USD").unwrap_err().contains("Seoul"));
        assert!(Wish::read("9 days in Seoul").unwrap_err().contains("five"));
    }

    #[test]
    fn the_bed_is_the_best_that_the_budget_allows() {
        let plan = Plan::within(3, 1_252_350).unwrap();
        assert_eq!((plan.days.len(), plan.total, plan.bed), (3, 755_000, "a hanok in Bukchon"));
        assert_eq!(Plan::within(3, 2_000_000).unwrap().bed, BEDS[0].0);
        assert_eq!(Plan::within(3, 200_000), None);
    }
}

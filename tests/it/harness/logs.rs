//! The log lines of all sidecars in this process. Tests find their own by what is unique to them: names and namespaces.

use std::sync::{Mutex, OnceLock};

use serde_json::{Map, Value};
use tokio::sync::watch;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, registry};

use super::soon;

/// All lines so far.
struct Lines {
    all: Mutex<Vec<Value>>,
    count: watch::Sender<usize>,
}

static LINES: OnceLock<Lines> = OnceLock::new();

/// Begins to keep lines, if nobody has.
pub(crate) fn keep() {
    LINES.get_or_init(|| {
        let filter = Targets::new().with_target("dragoman", LevelFilter::INFO);
        registry().with(Keep.with_filter(filter)).init();
        Lines { all: Mutex::default(), count: watch::Sender::new(0) }
    });
}

/// The first line that is meant, once it is there.
pub(crate) async fn line(what: &str, meant: impl Fn(&Value) -> bool) -> Value {
    let lines = LINES.get().unwrap();
    let mut count = lines.count.subscribe();
    soon(what, async {
        loop {
            let found = lines.all.lock().unwrap().iter().find(|line| meant(line)).cloned();
            match found {
                Some(line) => return line,
                None => count.changed().await.unwrap(),
            }
        }
    })
    .await
}

/// How many lines are meant so far.
pub(crate) fn count(meant: impl Fn(&Value) -> bool) -> usize {
    LINES.get().unwrap().all.lock().unwrap().iter().filter(|line| meant(line)).count()
}

struct Keep;

impl<S: Subscriber> Layer<S> for Keep {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields(Map::new());
        fields.0.insert("target".to_owned(), event.metadata().target().into());
        event.record(&mut fields);
        let Some(lines) = LINES.get() else { return };
        lines.all.lock().unwrap().push(fields.0.into());
        lines.count.send_modify(|count| *count += 1);
    }
}

struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }
}

//! What becomes of the agents: a line of JSON for each change, as long as the caller reads.
//!
//! `{"updated": AGENT}`, `{"removed": NAME}`, `{"synced": true}` once everything that was there at first has been told, and
//! `{"warning": TEXT}` when a directory is away.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{pending, select_all};
use http::{HeaderValue, Response, header};
use http_body::{Body as HttpBody, Frame};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;
use tonic::body::Body;

use super::query::Query;
use super::rows::{Row, merged};
use super::{Agents, Known};
use crate::a2a::Name;
use crate::discovery::directory::{Follow, Told};
use crate::drain::Stage;
use crate::task;

/// How many lines wait for the caller.
const AHEAD: usize = 64;
/// How often what this sidecar knows by itself is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long changes are gathered.
const GATHER: Duration = Duration::from_millis(100);
/// How long agents are shown whose directory is away.
const KEEP: Duration = Duration::from_mins(10);

/// The lines, and whoever makes them.
struct Lines {
    lines: mpsc::Receiver<Bytes>,
    _tasks: Vec<AbortOnDropHandle<()>>,
    _place: OwnedSemaphorePermit,
}

impl HttpBody for Lines {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.lines.poll_recv(cx).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}

impl Agents {
    /// Tells a caller who has a place what it asks for, and what becomes of it.
    pub(super) fn watch(&self, query: Query, place: OwnedSemaphorePermit) -> Response<Body> {
        let follow = Follow { filter: query.filter(), brief: true, keep: KEEP };
        let copies = (self.seed..).zip(self.directories(&query));
        let (copies, mut tasks): (Vec<_>, Vec<_>) =
            copies.map(|(seed, directory)| directory.follow(follow.clone(), seed)).unzip();
        let (tx, lines) = mpsc::channel(AHEAD);
        let watching = Watching {
            known: Arc::clone(&self.known),
            query,
            copies,
            rows: BTreeMap::new(),
            warned: BTreeSet::new(),
            synced: false,
        };
        let mut drain = self.drain.clone();
        tasks.push(task::spawn(async move {
            tokio::select! {
                () = watching.run(&tx) => {}
                () = tx.closed() => {}
                () = drain.past(Stage::Running) => {}
            }
        }));
        let mut response = Response::new(Body::new(Lines { lines, _tasks: tasks, _place: place }));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        response
    }
}

struct Watching {
    known: Arc<Known>,
    query: Query,
    copies: Vec<watch::Receiver<Told>>,
    /// What the caller has been told.
    rows: BTreeMap<Name, Row>,
    warned: BTreeSet<Arc<str>>,
    synced: bool,
}

impl Watching {
    /// Tells until the caller has left.
    async fn run(mut self, caller: &mpsc::Sender<Bytes>) {
        loop {
            for line in self.news() {
                if caller.send(format!("{line}\n").into()).await.is_err() {
                    return;
                }
            }
            let changes = self.copies.iter_mut().map(|copy| changed(copy).boxed());
            let changes: Vec<_> = changes.chain([sleep(LOOK).boxed()]).collect();
            select_all(changes).await;
            sleep(GATHER).await;
        }
    }

    /// What the caller does not know yet, line by line. As trees of values it would take several times what it takes as text.
    fn news(&mut self) -> Vec<String> {
        let told: Vec<_> = self.copies.iter_mut().map(watch::Receiver::borrow_and_update).collect();
        let agents = told.iter().flat_map(|told| &told.agents).map(|(name, agent)| (name, &**agent));
        let rows = merged(&self.known, &self.query, agents);
        let gone = self.rows.keys().filter(|name| !rows.contains_key(*name));
        let mut news: Vec<String> = gone.map(|name| json!({"removed": name.as_str()}).to_string()).collect();
        let new = rows.iter().filter(|(name, row)| self.rows.get(*name) != Some(*row));
        news.extend(new.map(|(name, row)| json!({"updated": row.to_json(name)}).to_string()));
        self.rows = rows;
        let troubles: BTreeSet<Arc<str>> = told.iter().filter_map(|told| told.trouble.clone()).collect();
        let new = troubles.difference(&self.warned);
        news.extend(new.map(|trouble| json!({"warning": &**trouble}).to_string()));
        self.warned = troubles;
        if !self.synced && told.iter().all(|told| told.complete || told.trouble.is_some()) {
            self.synced = true;
            news.push(json!({"synced": true}).to_string());
        }
        news
    }
}

async fn changed(copy: &mut watch::Receiver<Told>) {
    if copy.changed().await.is_err() {
        pending::<()>().await;
    }
}

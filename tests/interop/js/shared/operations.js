// The operations that every client of the interop tests runs, and what must hold after each.
//
// A `peer` is the SDK's client of one line, put into the same few words by its `client.js`:
//   part      {text} | {data} | {bytes (base64), name?, type?} | {uri, name?, type?}, each with metadata? when not empty
//   message   {text?, parts, metadata}        task   {id, contextId, state, text, artifacts, history}
//   event     {message} | {task} | {status: {state, text}} | {artifact: {name, parts, append, last}}
//   send(message) -> {message} | {task};  stream(message) and subscribe(id) -> events;  the rest by their names.

import { isDeepStrictEqual } from 'node:util';
import { EXTENSION } from './behaviour.js';

/** Thrown by a line where its SDK has no means for an operation; the text says what is missing. */
export class Unsupported extends Error {}

const ECHO = {
  parts: [
    { text: 'echo ü€😀' },
    { data: { n: 1, f: 1.5, big: 9007199254740991, deep: { a: [1, [2, { b: null }]] } } },
    { bytes: 'AAH+/w==', name: 'b.bin' },
    { uri: 'https://example.org/y.pdf', type: 'application/pdf' },
  ],
  metadata: { k: 'v', n: 7 },
};

const RESULT = [
  { text: 'done ü' },
  { data: { n: 1, f: 1.5, big: 9007199254740991, s: 'ü', list: [1, null, true], o: {} } },
  { bytes: 'AAH+/w==', name: 'a.bin', type: 'application/octet-stream' },
  { uri: 'https://example.org/x.png', type: 'image/png' },
];

const HOOK = { id: 'hook-1', url: 'https://example.org/hook', token: 't0k' };
const TRACE = '0af7651916cd43dd8448eb211c80319c';
const HEADERS = { Authorization: 'Bearer s3cret', 'X-API-Key': 'k3y', traceparent: `00-${TRACE}-b7ad6b7169203331-01` };

/** Operation name -> what it does; `lane` is the target {binding, dialect}. */
export const OPERATIONS = {
  async Card(peer, lane) {
    const card = await peer.card();
    equal('name', card.name, 'interop');
    const there = card.interfaces.some((i) => i.binding === lane.binding && i.dialect.startsWith(lane.dialect));
    holds(there, `no ${lane.binding} ${lane.dialect} among ${JSON.stringify(card.interfaces)}`);
  },

  async 'SendMessage/echo'(peer) {
    const { parts, metadata } = only('message', await peer.send(ECHO));
    equal('parts', parts, ECHO.parts);
    equal('metadata', metadata, ECHO.metadata);
  },

  async 'SendMessage/task'(peer) {
    finished(only('task', await peer.send(text('task'))));
  },

  async 'SendMessage/input'(peer) {
    const asked = only('task', await peer.send(text('input')));
    equal('state', asked.state, 'input-required');
    equal('message', asked.text, 'which one?');
    const second = { ...text('the first one'), taskId: asked.id, contextId: asked.contextId };
    const answered = only('task', await peer.send(second));
    equal('ids', [answered.id, answered.contextId], [asked.id, asked.contextId]);
    equal('state', answered.state, 'completed');
  },

  async 'SendMessage/fail'(peer) {
    const task = only('task', await peer.send(text('fail')));
    equal('state and message', [task.state, task.text], ['failed', 'broken']);
  },

  async SendStreamingMessage(peer) {
    const events = [];
    const times = [];
    for await (const event of peer.stream(text('stream'))) {
      events.push(event);
      times.push(performance.now());
    }
    const statuses = events.flatMap((e) => e.status ?? []);
    const chunks = events.flatMap((e) => e.artifact ?? []);
    equal('working', statuses.filter((s) => s.state === 'working').map((s) => s.text), ['step 1']);
    equal('chunks', chunks.map((c) => c.parts), [1, 2, 3].map((n) => [{ text: `chunk ${n}` }]));
    equal('append', chunks.map((c) => c.append), [false, true, true]);
    equal('lastChunk', chunks.map((c) => c.last), [false, false, true]);
    equal('last event', events.at(-1).status?.state, 'completed');
    const spread = times.at(-1) - times[0];
    holds(spread >= 300, `all events came within ${Math.round(spread)} ms`);
  },

  async 'SendStreamingMessage/echo'(peer) {
    const events = await all(peer.stream(text('echo once')));
    equal('kinds', events.map((e) => Object.keys(e)[0]), ['message']);
    equal('parts', events[0].message.parts, [{ text: 'echo once' }]);
  },

  async GetTask(peer) {
    const made = only('task', await peer.send(text('task')));
    const task = await peer.get(made.id);
    equal('id', task.id, made.id);
    finished(task);
    const { history } = await peer.get(made.id, 1);
    holds(history.length <= 1, `${history.length} history entries for historyLength 1`);
  },

  async ListTasks(peer) {
    const made = only('task', await peer.send(text('task')));
    const ids = (await peer.list(made.contextId)).map((t) => t.id);
    holds(ids.includes(made.id), `${made.id} is not among ${JSON.stringify(ids)}`);
  },

  async CancelTask(peer) {
    const { id } = await waiting(peer);
    const task = await peer.cancel(id);
    equal('id and state', [task.id, task.state], [id, 'canceled']);
  },

  async SubscribeToTask(peer) {
    const { id } = await waiting(peer);
    const events = peer.subscribe(id)[Symbol.asyncIterator]();
    const first = events.next();
    // A server need not send the current task; give it a moment, but no more.
    await Promise.race([first, new Promise((done) => setTimeout(done, 1000))]);
    await peer.cancel(id);
    const states = [];
    for (let step = await first; !step.done; step = await events.next()) {
      const { task, status } = step.value;
      states.push((task ?? status)?.state);
    }
    equal('last state', states.at(-1), 'canceled');
  },

  async PushNotificationConfig(peer) {
    const { id } = await waiting(peer);
    try {
      equal('created', await peer.createPush(id, HOOK), HOOK);
      equal('got', await peer.getPush(id, HOOK.id), HOOK);
      equal('listed', await peer.listPush(id), [HOOK]);
      await peer.deletePush(id, HOOK.id);
      equal('listed after delete', await peer.listPush(id), []);
    } finally {
      await peer.cancel(id).catch(() => {}); // tidying up: what is tested is over
    }
  },

  async GetExtendedAgentCard(peer) {
    const card = await peer.extendedCard();
    equal('name', card.name, 'interop');
    holds(card.skills.includes('extended'), `no skill "extended" among ${JSON.stringify(card.skills)}`);
  },

  async 'Errors/TaskNotFound'(peer) {
    await refuses(peer.get('no-such-task'), peer.isNotFound, 'TaskNotFound');
  },

  async 'Errors/NotCancelable'(peer) {
    const { id } = only('task', await peer.send(text('task')));
    await refuses(peer.cancel(id), peer.isNotCancelable, 'TaskNotCancelable');
  },

  async Headers(peer) {
    const seen = await seenHeaders(peer, { headers: HEADERS });
    equal('authorization', seen.authorization, HEADERS.Authorization);
    equal('x-api-key', seen['x-api-key'], HEADERS['X-API-Key']);
    // Whoever stands between may name a new parent, but not another trace.
    equal('trace', seen.traceparent?.split('-')[1], TRACE);
  },

  async Extensions(peer) {
    const seen = await seenHeaders(peer, { extensions: [EXTENSION] });
    holds(seen.extensions?.includes(EXTENSION), `extensions: ${JSON.stringify(seen.extensions)}`);
  },
};

const text = (words) => ({ parts: [{ text: words }] });

async function waiting(peer) {
  return only('task', await peer.send({ ...text('wait'), returnImmediately: true }));
}

async function seenHeaders(peer, extra) {
  const { parts } = only('message', await peer.send({ ...text('headers'), ...extra }));
  if (parts[0].data?.unsupported) throw new Unsupported('the agent’s SDK shows its executor no headers');
  return parts[0].data;
}

function finished(task) {
  holds(task.id && task.contextId, `empty ids: ${JSON.stringify([task.id, task.contextId])}`);
  equal('state and message', [task.state, task.text], ['completed', 'finished']);
  equal('artifact names', task.artifacts.map((a) => a.name), ['result']);
  equal('artifact parts', task.artifacts[0].parts, RESULT);
}

async function refuses(call, isExpected, name) {
  const result = await call.then((value) => ({ value }), (error) => ({ error }));
  holds(result.error, `no error, but ${JSON.stringify(result.value)}`);
  holds(isExpected(result.error), `not ${name}: ${result.error?.name}: ${result.error?.message}`);
}

function only(kind, result) {
  holds(result[kind], `no ${kind}, but ${JSON.stringify(result)}`);
  return result[kind];
}

async function all(events) {
  const list = [];
  for await (const event of events) list.push(event);
  return list;
}

function equal(what, got, wanted) {
  holds(isDeepStrictEqual(got, wanted), `${what}: ${JSON.stringify(got)}, not ${JSON.stringify(wanted)}`);
}

function holds(condition, otherwise) {
  if (!condition) throw new Error(otherwise);
}

// What every agent of the interop tests does, whatever its SDK: the first word of the message decides.
//
// A `turn` is one run of the SDK's executor, put by each line into the same few words:
//   text, parts, metadata     of the request's message (parts as in `operations.js`)
//   resumes                   true when the message continues a task
//   headers, extensions       what the SDK shows of the request's headers; `activate(uri)` answers an extension
//   canceled                  a promise that settles when the task is cancelled
//   message(parts, metadata)  answers with a Message
//   task(state, text)         answers with the Task, with an agent message when there is a text
//   status(state, text)       a status update, with an agent message when there is a text
//   artifact(chunk)           an artifact update: {id, name, parts, append, last}

export const EXTENSION = 'urn:interop:ext';

const PAUSE = 150;
const PATIENCE = 30_000;

const RESULT = [
  { text: 'done ü' },
  { data: { n: 1, f: 1.5, big: 9007199254740991, s: 'ü', list: [1, null, true], o: {} } },
  { bytes: 'AAH+/w==', name: 'a.bin', type: 'application/octet-stream' },
  { uri: 'https://example.org/x.png', type: 'image/png' },
];

/** Does what the message says. */
export async function act(turn) {
  if (turn.resumes) {
    await turn.task('working');
    return turn.status('completed');
  }
  const word = turn.text.split(' ', 1)[0];
  return (Object.hasOwn(WORDS, word) ? WORDS[word] : WORDS.echo)(turn);
}

const WORDS = {
  echo: (turn) => turn.message(turn.parts, turn.metadata),

  async task(turn) {
    await turn.task('working');
    await turn.artifact({ id: 'artifact-1', name: 'result', parts: RESULT, append: false, last: true });
    await turn.status('completed', 'finished');
  },

  async stream(turn) {
    await turn.task('submitted');
    await sleep(PAUSE);
    await turn.status('working', 'step 1');
    for (const n of [1, 2, 3]) {
      await sleep(PAUSE);
      const parts = [{ text: `chunk ${n}` }];
      await turn.artifact({ id: 'artifact-1', name: 'chunks', parts, append: n > 1, last: n === 3 });
    }
    await sleep(PAUSE);
    await turn.status('completed');
  },

  async wait(turn) {
    // One event and no more: what a client does next must not race with another.
    await turn.task('working', 'waiting');
    const timer = new AbortController();
    const ended = await Promise.race([turn.canceled.then(() => 'canceled'), sleep(PATIENCE, timer.signal)]);
    timer.abort();
    if (ended !== 'canceled') await turn.status('completed');
  },

  async input(turn) {
    await turn.task('submitted');
    await turn.status('input-required', 'which one?');
  },

  async fail(turn) {
    await turn.task('working');
    await turn.status('failed', 'broken');
  },

  raise() {
    throw new Error('raised on purpose');
  },

  headers(turn) {
    if (turn.extensions.includes(EXTENSION)) turn.activate(EXTENSION);
    const seen = (name) => turn.headers[name] ?? null;
    const data = {
      authorization: seen('authorization'),
      'x-api-key': seen('x-api-key'),
      traceparent: seen('traceparent'),
      extensions: turn.extensions,
    };
    return turn.message([{ data }]);
  },
};

function sleep(milliseconds, signal) {
  return new Promise((done) => {
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener('abort', () => clearTimeout(timer));
  });
}

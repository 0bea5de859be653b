// Reads targets from stdin, one JSON object per line, runs the operations against each and prints one line per operation.

import { createInterface } from 'node:readline';
import { OPERATIONS, Unsupported } from './operations.js';

/**
 * Runs until stdin ends. `open(target)` resolves to a function that, given the AbortSignal of one operation, gives the
 * peer to run it with; so every call of an operation ends with the operation's time.
 */
export async function serveTargets(open) {
  // A call left behind by a failed operation may fail later: that ends nothing.
  process.on('unhandledRejection', (error) => console.error('left behind:', error));
  for await (const line of createInterface({ input: process.stdin })) {
    if (line.trim()) await runTarget(JSON.parse(line), open);
  }
  process.exit(0); // SDK connections that stay open must not hold the process
}

async function runTarget(target, open) {
  const opened = open(target);
  opened.catch(() => {}); // every operation reports it
  for (const [name, operation] of Object.entries(OPERATIONS)) {
    if (!wanted(name, target)) continue;
    print({ operation: name, ...(await attempt(operation, opened, target)) });
  }
  print({ done: true });
}

/** `only` names whole operations or their first words: `SendMessage` stands for `SendMessage/echo` and its like. */
function wanted(name, { only, dialect }) {
  if (name === 'ListTasks' && dialect === '0.3') return false;
  return !only || only.some((prefix) => name === prefix || name.startsWith(`${prefix}/`));
}

async function attempt(operation, opened, target) {
  const seconds = target.seconds ?? 15;
  const time = new AbortController();
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`timed out after ${seconds} s`)), seconds * 1000);
  });
  try {
    const run = async () => operation((await opened)(time.signal), target);
    await Promise.race([run(), late]);
    return { result: 'pass', why: '' };
  } catch (error) {
    return { result: error instanceof Unsupported ? 'unsupported' : 'fail', why: oneLine(error) };
  } finally {
    clearTimeout(timer);
    time.abort();
  }
}

function oneLine(error) {
  const cause = error?.cause?.message ? ` (${error.cause.message})` : '';
  const name = error?.constructor?.name ?? 'Error';
  const prefix = name === 'Error' || error instanceof Unsupported ? '' : `${name}: `;
  return `${prefix}${error?.message ?? error}${cause}`.replace(/\s+/g, ' ').slice(0, 1500);
}

function print(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

// The agent of `@a2a-js/sdk` 0.3: the SDK's request handler behind its JSON-RPC and HTTP+JSON servers, all in memory.
//
// The SDK has gRPC too, but 0.3 gRPC is no lane.

import { createServer } from 'node:http';
import { DefaultRequestHandler, InMemoryTaskStore, UnauthenticatedUser } from '@a2a-js/sdk/server';
import { agentCardHandler, jsonRpcHandler, restHandler } from '@a2a-js/sdk/server/express';
import express from 'express';
import { act, EXTENSION } from '../shared/behaviour.js';
import { fromPart, toMessage, toPart } from './words.js';

/** The SDK shows an executor the caller, not the headers; but what a caller is, the server says: here, its headers. */
class Caller extends UnauthenticatedUser {
  constructor(headers) {
    super();
    this.headers = headers;
  }
}

class Executor {
  #canceled = new Map(); // task id -> what ends its `wait`, with the context id

  async execute(context, bus) {
    let cancel;
    const canceled = new Promise((done) => (cancel = done));
    this.#canceled.set(context.taskId, { cancel, contextId: context.contextId });
    try {
      await act(turnOf(context, bus, canceled));
      bus.finished();
    } finally {
      this.#canceled.delete(context.taskId);
    }
  }

  async cancelTask(taskId, bus) {
    const { cancel, contextId } = this.#canceled.get(taskId) ?? {};
    bus.publish(statusUpdate({ taskId, contextId: contextId ?? '' }, 'canceled'));
    cancel?.();
  }
}

function turnOf({ userMessage, task, taskId, contextId, context }, bus, canceled) {
  const ids = { taskId, contextId };
  const said = (text) => text && toMessage({ parts: [{ text }], ...ids }, 'agent');
  return {
    text: userMessage.parts.find((p) => p.kind === 'text')?.text ?? '',
    parts: userMessage.parts.map(fromPart),
    metadata: userMessage.metadata,
    resumes: task !== undefined,
    headers: context.user.headers,
    extensions: context.requestedExtensions ?? [],
    canceled,
    activate: (uri) => context.addActivatedExtension(uri),
    message: (parts, metadata) => bus.publish(toMessage({ parts, metadata, contextId }, 'agent')),
    task: (state, text) => {
      const first = { kind: 'task', id: taskId, contextId, history: [userMessage] };
      bus.publish({ ...(task ?? first), status: statusOf(state, said(text)) });
    },
    status: (state, text) => bus.publish(statusUpdate(ids, state, said(text))),
    artifact: ({ id, name, parts, append, last }) => {
      const artifact = { artifactId: id, name, parts: parts.map(toPart) };
      bus.publish({ kind: 'artifact-update', ...ids, artifact, append, lastChunk: last });
    },
  };
}

const statusOf = (state, message) => ({ state, ...(message && { message }), timestamp: new Date().toISOString() });

/** Every state but `working` is the last that this interaction shows. */
const statusUpdate = (ids, state, message) => ({
  kind: 'status-update', ...ids, status: statusOf(state, message), final: state !== 'working',
});

const skill = (id) => ({ id, name: id, description: id, tags: ['interop'] });

const cardOf = (url) => ({
  name: 'interop',
  description: 'The JavaScript agent of the interop tests',
  version: '1.0.0',
  protocolVersion: '0.3.0',
  url: `${url}/a2a/jsonrpc`,
  preferredTransport: 'JSONRPC',
  additionalInterfaces: [
    { url: `${url}/a2a/jsonrpc`, transport: 'JSONRPC' },
    { url: `${url}/a2a/rest`, transport: 'HTTP+JSON' },
  ],
  capabilities: { streaming: true, pushNotifications: true, extensions: [{ uri: EXTENSION, description: 'Does nothing' }] },
  supportsAuthenticatedExtendedCard: true,
  defaultInputModes: ['text/plain'],
  defaultOutputModes: ['text/plain'],
  skills: [skill('talk')],
});

async function main() {
  console.info = console.error; // stdout is for the one line below
  const http = createServer();
  await new Promise((done) => http.listen(0, '127.0.0.1', done));
  const url = `http://127.0.0.1:${http.address().port}`;

  const card = cardOf(url);
  const extended = async () => ({ ...card, skills: [...card.skills, skill('extended')] });
  const requestHandler = new DefaultRequestHandler(
    card, new InMemoryTaskStore(), new Executor(), undefined, undefined, undefined, extended);
  const options = { requestHandler, userBuilder: async (request) => new Caller(request.headers) };

  const app = express();
  app.use('/.well-known/agent-card.json', agentCardHandler({ agentCardProvider: requestHandler }));
  app.use('/a2a/jsonrpc', jsonRpcHandler(options));
  app.use('/a2a/rest', restHandler(options));
  http.on('request', app);

  process.on('SIGTERM', () => process.exit(0));
  process.stdout.write(`${JSON.stringify({ url, grpc: null })}\n`);
}

await main();

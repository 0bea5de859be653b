// The agent of `@a2a-js/sdk` 1.x: the SDK's request handler behind its JSON-RPC, HTTP+JSON and gRPC servers, all in memory.
//
// `--dialect 0.3` serves the SDK's compat mode, with a card that offers nothing else. The compat mode has gRPC too, but
// 0.3 gRPC is no lane.

import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { Role } from '@a2a-js/sdk';
import { AgentEvent, DefaultRequestHandler, InMemoryTaskStore } from '@a2a-js/sdk/server';
import { agentCardHandler, jsonRpcHandler, restHandler, UserBuilder } from '@a2a-js/sdk/server/express';
import { A2AService, grpcService, UserBuilder as GrpcUserBuilder } from '@a2a-js/sdk/server/grpc';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import express from 'express';
import { act, EXTENSION } from '../shared/behaviour.js';
import { fromPart, toMessage, toPart, toState } from './words.js';

class Executor {
  #canceled = new Map(); // task id -> what ends its `wait`, with the context id

  async execute(context, bus) {
    let cancel;
    const canceled = new Promise((done) => (cancel = done));
    this.#canceled.set(context.taskId, { cancel, contextId: context.contextId });
    try {
      await act(turnOf(context, bus, canceled));
    } finally {
      this.#canceled.delete(context.taskId);
    }
  }

  async cancelTask(taskId, bus) {
    const { cancel, contextId } = this.#canceled.get(taskId) ?? {};
    bus.publish(AgentEvent.statusUpdate({ taskId, contextId: contextId ?? '', status: statusOf('canceled') }));
    cancel?.();
  }
}

function turnOf({ userMessage, task, taskId, contextId, context }, bus, canceled) {
  const ids = { taskId, contextId };
  const agentMessage = (parts, metadata) => toMessage({ parts, metadata, ...ids }, Role.ROLE_AGENT);
  const said = (text) => (text ? agentMessage([{ text }]) : undefined);
  return {
    text: userMessage.parts.find((p) => p.content?.$case === 'text')?.content.value ?? '',
    parts: userMessage.parts.map(fromPart),
    metadata: userMessage.metadata,
    resumes: task !== undefined,
    headers: context.state.get('headers') ?? {},
    extensions: context.requestedExtensions ?? [],
    canceled,
    activate: (uri) => context.addActivatedExtension(uri),
    message: (parts, metadata) => bus.publish(AgentEvent.message({ ...agentMessage(parts, metadata), taskId: '' })),
    task: (state, text) => {
      const first = { id: taskId, contextId, artifacts: [], history: [userMessage], metadata: undefined };
      bus.publish(AgentEvent.task({ ...(task ?? first), status: statusOf(state, said(text)) }));
    },
    status: (state, text) =>
      bus.publish(AgentEvent.statusUpdate({ ...ids, status: statusOf(state, said(text)), metadata: undefined })),
    artifact: ({ id, name, parts, append, last }) => {
      const artifact = { artifactId: id, name, description: '', parts: parts.map(toPart), extensions: [] };
      bus.publish(AgentEvent.artifactUpdate({ ...ids, artifact, append, lastChunk: last, metadata: undefined }));
    },
  };
}

const statusOf = (state, message) => ({ state: toState(state), message, timestamp: new Date().toISOString() });

const skill = (id) => ({ id, name: id, description: id, tags: ['interop'], examples: [], inputModes: [], outputModes: [], securityRequirements: [] });

const cardOf = (interfaces) => ({
  name: 'interop',
  description: 'The JavaScript agent of the interop tests',
  version: '1.0.0',
  supportedInterfaces: interfaces.map((i) => ({ tenant: '', ...i })),
  capabilities: {
    streaming: true,
    pushNotifications: true,
    extendedAgentCard: true,
    extensions: [{ uri: EXTENSION, description: 'Does nothing', required: false, params: undefined }],
  },
  defaultInputModes: ['text/plain'],
  defaultOutputModes: ['text/plain'],
  skills: [skill('talk')],
  securitySchemes: {},
  securityRequirements: [],
  signatures: [],
});

function listen(server) {
  return new Promise((done) => server.listen(0, '127.0.0.1', () => done(server.address().port)));
}

function bind(server) {
  return new Promise((done, failed) => {
    const credentials = ServerCredentials.createInsecure();
    server.bindAsync('127.0.0.1:0', credentials, (error, port) => (error ? failed(error) : done(port)));
  });
}

async function main() {
  console.info = console.error; // stdout is for the one line below
  const protocolVersion = parseArgs({ options: { dialect: { type: 'string', default: '1.0' } } }).values.dialect;
  const options = { userBuilder: UserBuilder.noAuthentication, legacyCompat: { enabled: protocolVersion === '0.3' } };

  const http = createServer();
  const url = `http://127.0.0.1:${await listen(http)}`;
  const rpc = new Server();
  const grpc = protocolVersion === '1.0' ? `127.0.0.1:${await bind(rpc)}` : null;

  const card = cardOf([
    { url: `${url}/a2a/jsonrpc`, protocolBinding: 'JSONRPC', protocolVersion },
    { url: `${url}/a2a/rest`, protocolBinding: 'HTTP+JSON', protocolVersion },
    ...(grpc ? [{ url: grpc, protocolBinding: 'GRPC', protocolVersion }] : []),
  ]);
  const extended = async () => ({ ...card, skills: [...card.skills, skill('extended')] });
  const requestHandler = new DefaultRequestHandler(
    card, new InMemoryTaskStore(), new Executor(), undefined, undefined, undefined, extended);

  const app = express();
  app.use('/.well-known/agent-card.json', agentCardHandler({ agentCardProvider: requestHandler, ...options }));
  app.use('/a2a/jsonrpc', jsonRpcHandler({ requestHandler, ...options }));
  app.use('/a2a/rest', restHandler({ requestHandler, ...options }));
  http.on('request', app);
  rpc.addService(A2AService, grpcService({ requestHandler, userBuilder: GrpcUserBuilder.noAuthentication }));

  process.on('SIGTERM', () => process.exit(0));
  process.stdout.write(`${JSON.stringify({ url, grpc })}\n`);
}

await main();

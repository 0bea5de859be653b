// The client of `@a2a-js/sdk` 0.3: the SDK's `ClientFactory` on JSON-RPC and HTTP+JSON.
//
// The SDK has gRPC too, but 0.3 gRPC is no lane.

import {
  ClientFactory,
  DefaultAgentCardResolver,
  JsonRpcTransportFactory,
  RestTransportFactory,
  ServiceParameters,
  TaskNotCancelableError,
  TaskNotFoundError,
  withA2AExtensions,
} from '@a2a-js/sdk/client';
import { serveTargets } from '../shared/targets.js';
import { fromMessage, fromPart, fromStatus, fromTask, toMessage } from './words.js';

async function open({ base, binding }) {
  // The resolver drops the last step of a path that does not end in a slash.
  const card = await new DefaultAgentCardResolver().resolve(`${base.replace(/\/$/, '')}/`);
  const transports = [new JsonRpcTransportFactory(), new RestTransportFactory()];
  const client = await new ClientFactory({ transports, preferredTransports: [binding] }).createFromAgentCard(card);
  return (signal) => peer(client, card, signal);
}

function peer(client, card, signal) {
  const options = { signal };
  const whole = (message) => [request(message), { signal, serviceParameters: parameters(message) }];
  return {
    card: async () => fromCard(card),
    extendedCard: async () => fromCard(await client.getAgentCard(options)),
    send: async (message) => fromEvent(await client.sendMessage(...whole(message))),
    stream: (message) => events(client.sendMessageStream(...whole(message))),
    subscribe: (id) => events(client.resubscribeTask({ id }, options)),
    get: async (id, historyLength) => fromTask(await client.getTask({ id, historyLength }, options)),
    cancel: async (id) => fromTask(await client.cancelTask({ id }, options)),
    createPush: async (taskId, pushNotificationConfig) =>
      fromPush(await client.setTaskPushNotificationConfig({ taskId, pushNotificationConfig }, options)),
    getPush: async (id, pushNotificationConfigId) =>
      fromPush(await client.getTaskPushNotificationConfig({ id, pushNotificationConfigId }, options)),
    listPush: async (id) => (await client.listTaskPushNotificationConfig({ id }, options)).map(fromPush),
    deletePush: (id, pushNotificationConfigId) =>
      client.deleteTaskPushNotificationConfig({ id, pushNotificationConfigId }, options),
    isNotFound: (error) => error instanceof TaskNotFoundError,
    isNotCancelable: (error) => error instanceof TaskNotCancelableError,
  };
}

const request = (message) => ({
  message: toMessage(message),
  configuration: { blocking: !message.returnImmediately },
});

const parameters = ({ headers = {}, extensions = [] }) =>
  ServiceParameters.createFrom(headers, ...(extensions.length ? [withA2AExtensions(...extensions)] : []));

function fromCard(card) {
  const first = { transport: card.preferredTransport ?? 'JSONRPC' };
  const interfaces = [first, ...(card.additionalInterfaces ?? [])];
  return {
    name: card.name,
    interfaces: interfaces.map((i) => ({ binding: i.transport, dialect: card.protocolVersion })),
    skills: card.skills.map((s) => s.id),
  };
}

function fromPush({ pushNotificationConfig: { id, url, token } }) {
  return { id, url, token };
}

async function* events(stream) {
  for await (const event of stream) yield fromEvent(event);
}

function fromEvent(event) {
  switch (event.kind) {
    case 'message': return { message: fromMessage(event) };
    case 'task': return { task: fromTask(event) };
    case 'status-update': return { status: fromStatus(event.status) };
    case 'artifact-update': {
      const { artifact, append, lastChunk } = event;
      return { artifact: { name: artifact.name, parts: artifact.parts.map(fromPart), append: !!append, last: !!lastChunk } };
    }
    default: return { unknown: event.kind };
  }
}

await serveTargets(open);

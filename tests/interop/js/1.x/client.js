// The client of `@a2a-js/sdk` 1.x: the SDK's `ClientFactory` on every binding, and its 0.3 compat mode for dialect 0.3.
//
// The compat mode has gRPC too, but 0.3 gRPC is no lane.

import { TaskState } from '@a2a-js/sdk';
import {
  ClientFactory,
  DefaultAgentCardResolver,
  JsonRpcTransportFactory,
  RestTransportFactory,
  ServiceParameters,
  withA2AExtensions,
} from '@a2a-js/sdk/client';
import { GrpcTransportFactory } from '@a2a-js/sdk/client/grpc';
import { TaskNotCancelableError, TaskNotFoundError } from '@a2a-js/sdk/errors';
import { serveTargets } from '../shared/targets.js';
import { fromMessage, fromPart, fromStatus, fromTask, toMessage } from './words.js';

async function open({ base, binding, dialect }) {
  const options = { legacyCompat: { enabled: dialect === '0.3' } };
  const resolver = new DefaultAgentCardResolver(options);
  // The resolver drops the last step of a path that does not end in a slash.
  const card = await resolver.resolve(`${base.replace(/\/$/, '')}/`);
  const factory = new ClientFactory({
    transports: [new JsonRpcTransportFactory(options), new RestTransportFactory(options), new GrpcTransportFactory(options)],
    preferredTransports: [binding],
    cardResolver: resolver,
  });
  // The factory prefers 1.0 within a binding and has no setting for it: who wants 0.3 shows it no other interface.
  const supportedInterfaces = card.supportedInterfaces.filter((i) => i.protocolVersion.startsWith(dialect));
  const client = await factory.createFromAgentCard({ ...card, supportedInterfaces });
  return (signal) => peer(client, card, signal);
}

function peer(client, card, signal) {
  const options = { signal };
  const whole = (message) => [request(message), { signal, serviceParameters: parameters(message) }];
  return {
    card: async () => fromCard(card),
    extendedCard: async () => fromCard(await client.getAgentCard(options)),
    send: async (message) => fromResult(await client.sendMessage(...whole(message))),
    stream: (message) => events(client.sendMessageStream(...whole(message))),
    subscribe: (id) => events(client.resubscribeTask({ tenant: '', id }, options)),
    get: async (id, historyLength) => fromTask(await client.getTask({ tenant: '', id, historyLength }, options)),
    list: async (contextId) => {
      const status = TaskState.TASK_STATE_UNSPECIFIED; // which means any
      const { tasks } = await client.listTasks({ tenant: '', contextId, status, pageToken: '' }, options);
      return tasks.map(fromTask);
    },
    cancel: async (id) => fromTask(await client.cancelTask({ tenant: '', id }, options)),
    createPush: async (taskId, hook) =>
      fromPush(await client.createTaskPushNotificationConfig({ tenant: '', taskId, ...hook }, options)),
    getPush: async (taskId, id) =>
      fromPush(await client.getTaskPushNotificationConfig({ tenant: '', taskId, id }, options)),
    listPush: async (taskId) => {
      const request = { tenant: '', taskId, pageSize: 0, pageToken: '' };
      return (await client.listTaskPushNotificationConfig(request, options)).configs.map(fromPush);
    },
    deletePush: (taskId, id) => client.deleteTaskPushNotificationConfig({ tenant: '', taskId, id }, options),
    isNotFound: (error) => error instanceof TaskNotFoundError,
    isNotCancelable: (error) => error instanceof TaskNotCancelableError,
  };
}

const request = (message) => ({
  tenant: '',
  message: toMessage(message),
  configuration: { acceptedOutputModes: [], returnImmediately: message.returnImmediately ?? false },
});

const parameters = ({ headers = {}, extensions = [] }) =>
  ServiceParameters.createFrom(headers, ...(extensions.length ? [withA2AExtensions(...extensions)] : []));

const fromCard = (card) => ({
  name: card.name,
  interfaces: card.supportedInterfaces.map((i) => ({ binding: i.protocolBinding, dialect: i.protocolVersion })),
  skills: card.skills.map((s) => s.id),
});

const fromResult = (result) => ('messageId' in result ? { message: fromMessage(result) } : { task: fromTask(result) });

const fromPush = ({ id, url, token }) => ({ id, url, token });

async function* events(stream) {
  for await (const { payload } of stream) yield fromEvent(payload);
}

function fromEvent({ $case, value }) {
  switch ($case) {
    case 'message': return { message: fromMessage(value) };
    case 'task': return { task: fromTask(value) };
    case 'statusUpdate': return { status: fromStatus(value.status) };
    case 'artifactUpdate': {
      const { name, parts } = value.artifact;
      return { artifact: { name, parts: parts.map(fromPart), append: value.append, last: value.lastChunk } };
    }
    default: return { unknown: $case };
  }
}

await serveTargets(open);

// The words of the shared files put into the objects of `@a2a-js/sdk` 1.x, and back.

import { randomUUID } from 'node:crypto';
import { Role, TaskState } from '@a2a-js/sdk';

const PREFIX = 'TASK_STATE_';

/** `input-required` -> the SDK's number. */
export const toState = (name) => TaskState[PREFIX + name.toUpperCase().replaceAll('-', '_')];

/** The SDK's number -> `input-required`. */
export const fromState = (state) => TaskState[state].slice(PREFIX.length).toLowerCase().replaceAll('_', '-');

export function toPart(part) {
  const rest = { metadata: part.metadata, filename: part.name ?? '', mediaType: part.type ?? '' };
  if ('text' in part) return { content: { $case: 'text', value: part.text }, ...rest };
  if ('data' in part) return { content: { $case: 'data', value: part.data }, ...rest };
  if ('uri' in part) return { content: { $case: 'url', value: part.uri }, ...rest };
  return { content: { $case: 'raw', value: Buffer.from(part.bytes, 'base64') }, ...rest };
}

export function fromPart({ content, metadata, filename, mediaType }) {
  const extra = metadata && Object.keys(metadata).length ? { metadata } : {};
  const file = { ...(filename && { name: filename }), ...(mediaType && { type: mediaType }), ...extra };
  switch (content?.$case) {
    case 'text': return { text: content.value, ...extra };
    case 'data': return { data: content.value, ...extra };
    case 'url': return { uri: content.value, ...file };
    case 'raw': return { bytes: Buffer.from(content.value).toString('base64'), ...file };
    default: return { nothing: true };
  }
}

export function toMessage({ parts, metadata, taskId = '', contextId = '' }, role = Role.ROLE_USER) {
  return {
    messageId: randomUUID(),
    role,
    parts: parts.map(toPart),
    metadata,
    taskId,
    contextId,
    extensions: [],
    referenceTaskIds: [],
  };
}

export const fromMessage = ({ parts, metadata }) => ({ parts: parts.map(fromPart), metadata: metadata ?? {} });

export const fromTask = (task) => ({
  id: task.id,
  contextId: task.contextId,
  ...fromStatus(task.status),
  artifacts: (task.artifacts ?? []).map((a) => ({ name: a.name, parts: a.parts.map(fromPart) })),
  history: task.history ?? [],
});

export const fromStatus = ({ state, message }) => ({
  state: fromState(state),
  text: message?.parts.map((p) => p.content?.value).join('') ?? '',
});

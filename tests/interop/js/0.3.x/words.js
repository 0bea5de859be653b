// The words of the shared files put into the objects of `@a2a-js/sdk` 0.3, and back.

import { randomUUID } from 'node:crypto';

export function toPart(part) {
  const metadata = part.metadata && { metadata: part.metadata };
  if ('text' in part) return { kind: 'text', text: part.text, ...metadata };
  if ('data' in part) return { kind: 'data', data: part.data, ...metadata };
  const content = 'uri' in part ? { uri: part.uri } : { bytes: part.bytes };
  const file = { ...content, ...(part.name && { name: part.name }), ...(part.type && { mimeType: part.type }) };
  return { kind: 'file', file, ...metadata };
}

export function fromPart({ kind, text, data, file, metadata }) {
  const extra = metadata && Object.keys(metadata).length ? { metadata } : {};
  if (kind === 'text') return { text, ...extra };
  if (kind === 'data') return { data, ...extra };
  if (kind !== 'file') return { nothing: true };
  const content = 'uri' in file ? { uri: file.uri } : { bytes: file.bytes };
  return { ...content, ...(file.name && { name: file.name }), ...(file.mimeType && { type: file.mimeType }), ...extra };
}

export function toMessage({ parts, metadata, taskId, contextId }, role = 'user') {
  return {
    kind: 'message',
    messageId: randomUUID(),
    role,
    parts: parts.map(toPart),
    ...(metadata && { metadata }),
    ...(taskId && { taskId }),
    ...(contextId && { contextId }),
  };
}

export const fromMessage = ({ parts, metadata }) => ({ parts: parts.map(fromPart), metadata: metadata ?? {} });

export const fromStatus = ({ state, message }) => ({ state, text: message?.parts.map((p) => p.text).join('') ?? '' });

export const fromTask = (task) => ({
  id: task.id,
  contextId: task.contextId,
  ...fromStatus(task.status),
  artifacts: (task.artifacts ?? []).map((a) => ({ name: a.name, parts: a.parts.map(fromPart) })),
  history: task.history ?? [],
});

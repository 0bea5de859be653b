"""The interop client on a2a-sdk 0.3.x.

Its client has no calls to list or delete push notification configs. Its HTTP+JSON transport reports errors by HTTP
status only: 404 is how it says TaskNotFound, and 409 TaskNotCancelable.
"""

import base64
import uuid

import httpx
from a2a.client import A2ACardResolver, A2AClientHTTPError, ClientConfig, ClientFactory
from a2a.client.errors import A2AClientJSONRPCError
from a2a.types import (
    AgentCard,
    DataPart,
    FilePart,
    FileWithBytes,
    FileWithUri,
    GetTaskPushNotificationConfigParams,
    Message as WireMessage,
    MessageSendConfiguration,
    Part,
    PushNotificationConfig,
    Role,
    Task as WireTask,
    TaskArtifactUpdateEvent,
    TaskIdParams,
    TaskPushNotificationConfig,
    TaskQueryParams,
    TaskStatus,
    TaskStatusUpdateEvent,
    TextPart,
)

from loop import main
from speaker import Speaker
from words import Chunk, Message, Status, Task, data, joined, raw, text, url

CODES = {-32001: 'TaskNotFound', -32002: 'TaskNotCancelable'}
STATUSES = {404: 'TaskNotFound', 409: 'TaskNotCancelable'}


class Client(Speaker):
    """Speaks by `a2a.client` of the 0.3 line."""

    async def open(self) -> None:
        async with httpx.AsyncClient() as http:
            self._card = await A2ACardResolver(http, self.target.base).get_agent_card()
        self._unary, self._streaming = self._client(False), self._client(True)

    def _client(self, streaming: bool, headers: dict | None = None):
        """A client as a user makes it; headers are those of its HTTP client."""
        config = ClientConfig(
            streaming=streaming,
            httpx_client=httpx.AsyncClient(headers=headers) if headers else None,
            supported_transports=[self.target.binding],
        )
        return ClientFactory(config).create(self._card.model_copy(deep=True))

    async def close(self) -> None:
        for name in ('_unary', '_streaming'):
            if hasattr(self, name):
                await getattr(self, name).close()

    def card(self) -> dict:
        return plain_card(self._card)

    async def send(self, parts, *, metadata=None, task=None, blocking=True, headers=None, extensions=None):
        client = self._client(False, headers) if headers else self._unary
        try:
            sending = client.send_message(
                message(parts, metadata, task),
                configuration=MessageSendConfiguration(blocking=blocking),
                extensions=extensions,
            )
            answers = [answer async for answer in sending]
        finally:
            if client is not self._unary:
                await client.close()
        if len(answers) != 1:
            raise AssertionError(f'one send gave {len(answers)} answers')
        return event(answers[0])

    async def stream(self, parts):
        async for one in self._streaming.send_message(message(parts)):
            yield event(one)

    async def get_task(self, task_id, history=None):
        return plain_task(await self._unary.get_task(TaskQueryParams(id=task_id, history_length=history)))

    async def cancel(self, task_id):
        return plain_task(await self._unary.cancel_task(TaskIdParams(id=task_id)))

    async def subscribe(self, task_id):
        async for one in self._streaming.resubscribe(TaskIdParams(id=task_id)):
            yield event(one)

    async def push_create(self, task_id, config):
        wish = TaskPushNotificationConfig(task_id=task_id, push_notification_config=PushNotificationConfig(**config))
        return plain_push(await self._unary.set_task_callback(wish))

    async def push_get(self, task_id, config_id):
        wish = GetTaskPushNotificationConfigParams(id=task_id, push_notification_config_id=config_id)
        return plain_push(await self._unary.get_task_callback(wish))

    async def extended_card(self):
        return plain_card(await self._unary.get_card())

    def error(self, error):
        if isinstance(error, A2AClientJSONRPCError):
            return CODES.get(error.error.code, '')
        if isinstance(error, A2AClientHTTPError) and self.target.binding == 'HTTP+JSON':
            return STATUSES.get(error.status_code, '')
        return ''


def message(parts, metadata=None, task=None) -> WireMessage:
    """A message of the user, to a task if there is one."""
    return WireMessage(
        message_id=str(uuid.uuid4()),
        role=Role.user,
        parts=[Part(root=to_part(part)) for part in parts],
        metadata=metadata,
        task_id=task.id if task else None,
        context_id=task.context if task else None,
    )


def to_part(part: dict) -> TextPart | DataPart | FilePart:
    """A part in the SDK's words."""
    if 'text' in part:
        return TextPart(text=part['text'])
    if 'data' in part:
        return DataPart(data=part['data'])
    named = {'name': part['name'] or None, 'mime_type': part['type'] or None}
    if 'raw' in part:
        return FilePart(file=FileWithBytes(bytes=base64.b64encode(part['raw']).decode(), **named))
    return FilePart(file=FileWithUri(uri=part['url'], **named))


def from_part(part: Part) -> dict:
    """A part in neutral words."""
    match part.root:
        case TextPart(text=value):
            return text(value)
        case DataPart(data=value):
            return data(value)
        case FilePart(file=FileWithBytes() as file):
            return raw(base64.b64decode(file.bytes, validate=True), file.name or '', file.mime_type or '')
        case FilePart(file=FileWithUri() as file):
            return url(file.uri, file.name or '', file.mime_type or '')
    return {}


def parts_of(holder) -> list[dict]:
    """The parts of a message or an artifact, if there is one."""
    return [from_part(part) for part in holder.parts] if holder else []


def state(status: TaskStatus) -> tuple[str, str]:
    """A state, and the text of its message."""
    return status.state.value, joined(parts_of(status.message))


def plain_task(task: WireTask) -> Task:
    """A task in neutral words."""
    artifacts = [{'name': one.name or '', 'parts': parts_of(one)} for one in task.artifacts or ()]
    return Task(task.id, task.context_id, *state(task.status), artifacts, len(task.history or ()))


def event(one):
    """What `send_message` gives, in neutral words: a message, or a task with the update that changed it."""
    if isinstance(one, WireMessage):
        return Message(parts_of(one), one.metadata or {})
    task, update = one
    match update:
        case TaskStatusUpdateEvent():
            return Status(*state(update.status))
        case TaskArtifactUpdateEvent():
            return Chunk(parts_of(update.artifact))
    return plain_task(task)


def plain_push(config: TaskPushNotificationConfig) -> dict:
    """A webhook in neutral words."""
    hook = config.push_notification_config
    return {'id': hook.id, 'url': hook.url, 'token': hook.token}


def plain_card(card: AgentCard) -> dict:
    """A card in neutral words."""
    bindings = [card.preferred_transport or 'JSONRPC', *(face.transport for face in card.additional_interfaces or ())]
    return {'name': card.name, 'bindings': bindings, 'skills': [skill.id for skill in card.skills]}


if __name__ == '__main__':
    main(Client)

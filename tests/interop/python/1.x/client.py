"""The interop client on a2a-sdk 1.x: 1.0 over its three transports, and 0.3 by its own compat transports.

The SDK has no setting for the dialect: it prefers 1.0 where a card has both. A lane of dialect 0.3 therefore fetches the
card as an old client does (without A2A-Version) and gives the factory only the interfaces of 0.3.
Its 0.3 HTTP+JSON transport has no calls to list or delete push notification configs.
"""

import uuid

import grpc
import httpx
from a2a.client import A2ACardResolver, ClientCallContext, ClientConfig, ClientFactory
from a2a.client.service_parameters import ServiceParametersFactory, with_a2a_extensions
from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import TaskNotCancelableError, TaskNotFoundError
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Value

from loop import main
from speaker import Speaker
from words import Chunk, Message, Status, Task, Unsupported, data, joined, raw, text, url

NAMES = {TaskNotFoundError: 'TaskNotFound', TaskNotCancelableError: 'TaskNotCancelable'}


class Client(Speaker):
    """Speaks by `a2a.client`."""

    async def open(self) -> None:
        want = self.target.dialect
        headers = {'A2A-Version': '1.0'} if want == '1.0' else {}
        async with httpx.AsyncClient(headers=headers) as http:
            self._card = await A2ACardResolver(http, self.target.base).get_agent_card()
        faces = [face for face in self._card.supported_interfaces if face.protocol_version.startswith(want)]
        del self._card.supported_interfaces[:]
        self._card.supported_interfaces.extend(faces)
        if not any(face.protocol_binding == self.target.binding for face in faces):
            raise LookupError(f'the card has no {self.target.binding} of {want}')
        self._unary, self._streaming = self._client(False), self._client(True)

    def _client(self, streaming: bool):
        config = ClientConfig(
            streaming=streaming,
            supported_protocol_bindings=[self.target.binding],
            grpc_channel_factory=grpc.aio.insecure_channel,
        )
        return ClientFactory(config).create(self._card)

    async def close(self) -> None:
        for name in ('_unary', '_streaming'):
            if hasattr(self, name):
                await getattr(self, name).close()

    def card(self) -> dict:
        return plain_card(self._card)

    async def send(self, parts, *, metadata=None, task=None, blocking=True, headers=None, extensions=None):
        request = message(parts, metadata, task)
        request.configuration.return_immediately = not blocking
        context = None
        if headers or extensions:
            wishes = ServiceParametersFactory.create_from(
                headers or {}, [with_a2a_extensions(extensions)] if extensions else []
            )
            context = ClientCallContext(service_parameters=wishes)
        answers = [answer async for answer in self._unary.send_message(request, context=context)]
        if len(answers) != 1:
            raise AssertionError(f'one send gave {len(answers)} answers')
        return event(answers[0])

    async def stream(self, parts):
        async for one in self._streaming.send_message(message(parts)):
            yield event(one)

    async def get_task(self, task_id, history=None):
        return plain_task(await self._unary.get_task(pb.GetTaskRequest(id=task_id, history_length=history)))

    async def list_tasks(self, context):
        answer = await self._unary.list_tasks(pb.ListTasksRequest(context_id=context))
        return [task.id for task in answer.tasks]

    async def cancel(self, task_id):
        return plain_task(await self._unary.cancel_task(pb.CancelTaskRequest(id=task_id)))

    async def subscribe(self, task_id):
        async for one in self._streaming.subscribe(pb.SubscribeToTaskRequest(id=task_id)):
            yield event(one)

    async def push_create(self, task_id, config):
        wish = pb.TaskPushNotificationConfig(task_id=task_id, **config)
        return plain_push(await self._unary.create_task_push_notification_config(wish))

    async def push_get(self, task_id, config_id):
        wish = pb.GetTaskPushNotificationConfigRequest(task_id=task_id, id=config_id)
        return plain_push(await self._unary.get_task_push_notification_config(wish))

    async def push_list(self, task_id):
        self._no_old_rest('list')
        wish = pb.ListTaskPushNotificationConfigsRequest(task_id=task_id)
        answer = await self._unary.list_task_push_notification_configs(wish)
        return [plain_push(config) for config in answer.configs]

    async def push_delete(self, task_id, config_id):
        self._no_old_rest('delete')
        wish = pb.DeleteTaskPushNotificationConfigRequest(task_id=task_id, id=config_id)
        await self._unary.delete_task_push_notification_config(wish)

    def _no_old_rest(self, what: str) -> None:
        if (self.target.dialect, self.target.binding) == ('0.3', 'HTTP+JSON'):
            raise Unsupported(f'the 0.3 HTTP+JSON transport cannot {what} push notification configs')

    async def extended_card(self):
        return plain_card(await self._unary.get_extended_agent_card(pb.GetExtendedAgentCardRequest()))

    def error(self, error):
        return NAMES.get(type(error), '')


def message(parts, metadata=None, task=None) -> pb.SendMessageRequest:
    """A request to send parts, to a task if there is one."""
    made = pb.Message(message_id=str(uuid.uuid4()), role=pb.ROLE_USER, parts=map(to_part, parts), metadata=metadata)
    if task is not None:
        made.task_id, made.context_id = task.id, task.context
    return pb.SendMessageRequest(message=made)


def to_part(part: dict) -> pb.Part:
    """A part in the SDK's words."""
    if 'text' in part:
        return pb.Part(text=part['text'])
    if 'data' in part:
        return pb.Part(data=ParseDict(part['data'], Value()))
    named = {'filename': part['name'], 'media_type': part['type']}
    return pb.Part(raw=part['raw'], **named) if 'raw' in part else pb.Part(url=part['url'], **named)


def from_part(part: pb.Part) -> dict:
    """A part in neutral words."""
    match part.WhichOneof('content'):
        case 'text':
            return text(part.text)
        case 'data':
            return data(MessageToDict(part.data))
        case 'raw':
            return raw(part.raw, part.filename, part.media_type)
        case 'url':
            return url(part.url, part.filename, part.media_type)
    return {}


def parts_of(holder) -> list[dict]:
    """The parts of a message or an artifact."""
    return [from_part(part) for part in holder.parts]


def state(status: pb.TaskStatus) -> tuple[str, str]:
    """A state in the spelling of 0.3, and the text of its message."""
    name = pb.TaskState.Name(status.state).removeprefix('TASK_STATE_').lower().replace('_', '-')
    return name, joined(parts_of(status.message))


def plain_task(task: pb.Task) -> Task:
    """A task in neutral words."""
    artifacts = [{'name': one.name, 'parts': parts_of(one)} for one in task.artifacts]
    return Task(task.id, task.context_id, *state(task.status), artifacts, len(task.history))


def event(one: pb.StreamResponse):
    """An answer or an event of a stream in neutral words."""
    match one.WhichOneof('payload'):
        case 'task':
            return plain_task(one.task)
        case 'message':
            return Message(parts_of(one.message), MessageToDict(one.message.metadata))
        case 'status_update':
            return Status(*state(one.status_update.status))
        case 'artifact_update':
            return Chunk(parts_of(one.artifact_update.artifact))
    raise AssertionError('an event without content')


def plain_push(config: pb.TaskPushNotificationConfig) -> dict:
    """A webhook in neutral words."""
    return {'id': config.id, 'url': config.url, 'token': config.token}


def plain_card(card: pb.AgentCard) -> dict:
    """A card in neutral words."""
    bindings = [face.protocol_binding for face in card.supported_interfaces]
    return {'name': card.name, 'bindings': bindings, 'skills': [skill.id for skill in card.skills]}


if __name__ == '__main__':
    main(Client)

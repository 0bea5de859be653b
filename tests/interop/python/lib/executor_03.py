"""What an agent on a2a-sdk 0.3.x does with each message; it is shared by the agents that stand on that SDK."""

import asyncio
import base64
import uuid

from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.tasks import TaskUpdater
from a2a.types import (
    DataPart,
    FilePart,
    FileWithBytes,
    FileWithUri,
    Message,
    Part,
    Role,
    TaskState,
    TaskStatus,
    TaskStatusUpdateEvent,
    TextPart,
)
from a2a.utils import new_task

from words import BINARY, EXTENSION

STEP = 0.15  # seconds between two events of a stream
PATIENCE = 30.0  # seconds that a waiting task waits


class Executor(AgentExecutor):
    """Does what the first word of the message says."""

    def __init__(self):
        self._waiting: dict[str, EventQueue] = {}

    async def execute(self, context: RequestContext, queue: EventQueue) -> None:
        if context.current_task is not None:
            await TaskUpdater(queue, context.task_id, context.context_id).complete()
            return
        words = first_text(context.message).split()
        action = getattr(self, f'do_{words[0]}', self.do_echo) if words else self.do_echo
        await action(context, queue)

    async def cancel(self, context: RequestContext, queue: EventQueue) -> None:
        await TaskUpdater(queue, context.task_id, context.context_id).cancel()
        # That reaches only the caller of cancel. Subscribers listen to the queue of `execute`, and may lose an event there
        # that is final, because the SDK drops what they have not read as soon as another reader has seen it.
        if context.task_id in self._waiting:
            status = TaskStatus(state=TaskState.canceled)
            shown = TaskStatusUpdateEvent(
                task_id=context.task_id, context_id=context.context_id, status=status, final=False
            )
            await self._waiting[context.task_id].enqueue_event(shown)

    async def _begin(self, context, queue) -> TaskUpdater:
        await queue.enqueue_event(new_task(context.message))
        return TaskUpdater(queue, context.task_id, context.context_id)

    async def do_echo(self, context, queue):
        await queue.enqueue_event(answer(context, context.message.parts, context.message.metadata))

    async def do_headers(self, context, queue):
        seen = context.call_context.state.get('headers', {})
        names = ('authorization', 'x-api-key', 'traceparent')
        if EXTENSION in context.requested_extensions:
            context.add_activated_extension(EXTENSION)
        shown = {name: seen.get(name) for name in names} | {'extensions': sorted(context.requested_extensions)}
        await queue.enqueue_event(answer(context, [Part(root=DataPart(data=shown))]))

    async def do_raise(self, context, queue):
        raise RuntimeError('the agent is broken')

    async def do_task(self, context, queue, words: str = 'done ü'):
        work = await self._begin(context, queue)
        await work.start_work()
        named = {'name': 'a.bin', 'mime_type': 'application/octet-stream'}
        parts = [
            TextPart(text=words),
            DataPart(data={'n': 1, 'f': 1.5, 'big': 9007199254740991, 's': 'ü', 'list': [1, None, True], 'o': {}}),
            FilePart(file=FileWithBytes(bytes=base64.b64encode(BINARY).decode(), **named)),
            FilePart(file=FileWithUri(uri='https://example.org/x.png', mime_type='image/png')),
        ]
        await work.add_artifact([Part(root=part) for part in parts], name='result')
        await work.complete(said(work, 'finished'))

    async def do_stream(self, context, queue):
        work = await self._begin(context, queue)
        await asyncio.sleep(STEP)
        await work.start_work(said(work, 'step 1'))
        n = 0
        async for words in self.chunks():
            n += 1
            chunk = [Part(root=TextPart(text=words))]
            await work.add_artifact(chunk, artifact_id='chunks', append=n > 1, last_chunk=n == 3)
        await asyncio.sleep(STEP)
        await work.complete()

    async def chunks(self):
        """The texts of a stream, each when it is due."""
        for n in (1, 2, 3):
            await asyncio.sleep(STEP)
            yield f'chunk {n}'

    async def do_wait(self, context, queue):
        self._waiting[context.task_id] = queue
        work = await self._begin(context, queue)
        await work.start_work(said(work, 'waiting'))
        try:
            await asyncio.sleep(PATIENCE)  # the SDK ends this when the task is cancelled
            await work.complete()
        finally:
            del self._waiting[context.task_id]

    async def do_input(self, context, queue):
        work = await self._begin(context, queue)
        await work.requires_input(said(work, 'which one?'), final=True)

    async def do_fail(self, context, queue):
        work = await self._begin(context, queue)
        await work.failed(said(work, 'broken'))


def first_text(message: Message) -> str:
    """The text of the first text part."""
    return next((part.root.text for part in message.parts if isinstance(part.root, TextPart)), '')


def answer(context: RequestContext, parts, metadata=None) -> Message:
    """A message of the agent that ends the interaction."""
    return Message(
        message_id=str(uuid.uuid4()),
        role=Role.agent,
        context_id=context.context_id,
        parts=parts,
        metadata=metadata,
    )


def said(work: TaskUpdater, words: str) -> Message:
    """A message of the agent for a status."""
    return work.new_agent_message([Part(root=TextPart(text=words))])

"""The interop agent on a2a-sdk 1.x: the SDK's own server classes and in-memory stores, only the executor is ours.

Dialect 1.0 is served by JSON-RPC, HTTP+JSON and gRPC; dialect 0.3 by the SDK's compat routes (its 0.3 gRPC is no lane).
The SDK's server has no way to say which extensions it has activated, so it activates none.
"""

import asyncio
import uuid

import grpc
from a2a.helpers import new_data_part, new_raw_part, new_task_from_user_message, new_text_part, new_url_part
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler, GrpcHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import InMemoryPushNotificationConfigStore, InMemoryTaskStore, TaskUpdater
from a2a.types import a2a_pb2 as pb
from a2a.types.a2a_pb2_grpc import add_A2AServiceServicer_to_server
from starlette.applications import Starlette

from listen import dialect, listener, serve
from words import BINARY, EXTENSION

STEP = 0.15  # seconds between two events of a stream
PATIENCE = 30.0  # seconds that a waiting task waits


class Executor(AgentExecutor):
    """Does what the first word of the message says."""

    def __init__(self):
        self._cancelled: dict[str, asyncio.Event] = {}

    async def execute(self, context: RequestContext, queue: EventQueue) -> None:
        if context.current_task is not None:
            await TaskUpdater(queue, context.task_id, context.context_id).complete()
            return
        words = first_text(context.message).split()
        action = getattr(self, f'do_{words[0]}', self.do_echo) if words else self.do_echo
        await action(context, queue)

    async def cancel(self, context: RequestContext, queue: EventQueue) -> None:
        await TaskUpdater(queue, context.task_id, context.context_id).cancel()
        if context.task_id in self._cancelled:
            self._cancelled[context.task_id].set()

    async def _begin(self, context, queue) -> TaskUpdater:
        await queue.enqueue_event(new_task_from_user_message(context.message))
        return TaskUpdater(queue, context.task_id, context.context_id)

    async def do_echo(self, context, queue):
        await queue.enqueue_event(answer(context, context.message.parts, context.message.metadata))

    async def do_headers(self, context, queue):
        seen = headers(context.call_context.state)
        names = ('authorization', 'x-api-key', 'traceparent')
        shown = {name: seen.get(name) for name in names} | {'extensions': sorted(context.requested_extensions)}
        await queue.enqueue_event(answer(context, [new_data_part(shown)]))

    async def do_raise(self, context, queue):
        raise RuntimeError('the agent is broken')

    async def do_task(self, context, queue):
        work = await self._begin(context, queue)
        await work.start_work()
        parts = [
            new_text_part('done ü'),
            new_data_part(
                {'n': 1, 'f': 1.5, 'big': 9007199254740991, 's': 'ü', 'list': [1, None, True], 'o': {}}
            ),
            new_raw_part(BINARY, media_type='application/octet-stream', filename='a.bin'),
            new_url_part('https://example.org/x.png', media_type='image/png'),
        ]
        await work.add_artifact(parts, name='result')
        await work.complete(said(work, 'finished'))

    async def do_stream(self, context, queue):
        work = await self._begin(context, queue)
        await asyncio.sleep(STEP)
        await work.start_work(said(work, 'step 1'))
        for n in (1, 2, 3):
            await asyncio.sleep(STEP)
            chunk = [new_text_part(f'chunk {n}')]
            await work.add_artifact(chunk, artifact_id='chunks', append=n > 1, last_chunk=n == 3)
        await asyncio.sleep(STEP)
        await work.complete()

    async def do_wait(self, context, queue):
        cancelled = self._cancelled[context.task_id] = asyncio.Event()
        work = await self._begin(context, queue)
        await work.start_work(said(work, 'waiting'))
        try:
            await asyncio.wait_for(cancelled.wait(), PATIENCE)
        except TimeoutError:
            await work.complete()
        finally:
            del self._cancelled[context.task_id]

    async def do_input(self, context, queue):
        work = await self._begin(context, queue)
        await work.requires_input(said(work, 'which one?'))

    async def do_fail(self, context, queue):
        work = await self._begin(context, queue)
        await work.failed(said(work, 'broken'))


def first_text(message: pb.Message) -> str:
    """The text of the first text part."""
    return next((part.text for part in message.parts if part.HasField('text')), '')


def answer(context: RequestContext, parts, metadata=None) -> pb.Message:
    """A message of the agent that ends the interaction."""
    return pb.Message(
        message_id=str(uuid.uuid4()),
        role=pb.ROLE_AGENT,
        context_id=context.context_id,
        parts=parts,
        metadata=metadata,
    )


def said(work: TaskUpdater, words: str) -> pb.Message:
    """A message of the agent for a status."""
    return work.new_agent_message([new_text_part(words)])


def headers(state) -> dict:
    """Headers of an HTTP call or metadata of a gRPC call, names in lower case."""
    if 'headers' in state:
        return {name.lower(): value for name, value in state['headers'].items()}
    metadata = state['grpc_context'].invocation_metadata() or ()
    return {name: value for name, value in metadata if isinstance(value, str)}


def agent_card(faces: list[tuple[str, str, str]], *more: pb.AgentSkill) -> pb.AgentCard:
    """The card with these interfaces: binding, version, URL."""
    return pb.AgentCard(
        name='interop',
        description='Does what the first word says',
        version='1.0.0',
        supported_interfaces=[
            pb.AgentInterface(protocol_binding=binding, protocol_version=version, url=url)
            for binding, version, url in faces
        ],
        capabilities=pb.AgentCapabilities(
            streaming=True,
            push_notifications=True,
            extended_agent_card=True,
            extensions=[pb.AgentExtension(uri=EXTENSION, description='Adds nothing')],
        ),
        default_input_modes=['text/plain', 'application/json'],
        default_output_modes=['text/plain', 'application/json'],
        skills=[pb.AgentSkill(id='obey', name='Obey', description='Obeys', tags=['test']), *more],
    )


async def main(version: str) -> None:
    """Serves every binding of one dialect."""
    on, url = listener()
    rpc, rpc_address = None, None
    faces = [('JSONRPC', version, url), ('HTTP+JSON', version, url)]
    if version == '1.0':
        rpc = grpc.aio.server()
        rpc_address = f'127.0.0.1:{rpc.add_insecure_port("127.0.0.1:0")}'
        faces.append(('GRPC', version, rpc_address))
    card = agent_card(faces)
    handler = DefaultRequestHandler(
        Executor(),
        InMemoryTaskStore(),
        card,
        push_config_store=InMemoryPushNotificationConfigStore(),
        extended_agent_card=agent_card(
            faces, pb.AgentSkill(id='extended', name='Extended', description='For friends', tags=['test'])
        ),
    )
    old = version == '0.3'
    app = Starlette(
        routes=[
            *create_agent_card_routes(card),
            *create_jsonrpc_routes(handler, '/', enable_v0_3_compat=old),
            *create_rest_routes(handler, enable_v0_3_compat=old),
        ]
    )
    if rpc is not None:
        add_A2AServiceServicer_to_server(GrpcHandler(handler), rpc)
        await rpc.start()
    await serve(app, on, url, rpc_address)
    if rpc is not None:
        await rpc.stop(None)


if __name__ == '__main__':
    asyncio.run(main(dialect('1.0', '0.3')))

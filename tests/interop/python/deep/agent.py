"""The agent under test: an A2A 1.0 agent made with the official SDK, told what to do by the text of each message.

It serves JSON-RPC at `/`, HTTP+JSON beside it and gRPC on a second port, all over one request handler, and prints
one line of JSON with its addresses when it listens. `/test/...` lets a test look at it from outside the protocol.
"""

import asyncio
import contextlib
import json
import socket
import sys

import grpc
import uvicorn
from a2a.helpers import new_data_part, new_message, new_task_from_user_message, new_text_message, new_text_part
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler, GrpcHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import InMemoryPushNotificationConfigStore, InMemoryTaskStore, TaskUpdater
from a2a.types import a2a_pb2 as pb
from a2a.types.a2a_pb2_grpc import add_A2AServiceServicer_to_server
from a2a.utils.errors import JSON_RPC_ERROR_CODE_MAP
from google.protobuf.json_format import MessageToDict
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from door import Door
from words import EXTENSION, SAMPLE

ERRORS = {code: kind for kind, code in JSON_RPC_ERROR_CODE_MAP.items()}


class Commands(AgentExecutor):
    """Does what the first word of the message says."""

    def __init__(self):
        self._gates = {}

    def gate(self, key: str) -> asyncio.Event:
        """The event that `hold KEY` waits for and `release KEY` sets, whichever comes first."""
        return self._gates.setdefault(key, asyncio.Event())

    async def execute(self, context: RequestContext, queue: EventQueue) -> None:
        if context.current_task is not None:
            return await self._resume(context, queue)
        word, _, rest = context.get_user_input().partition(' ')
        command = getattr(self, f'do_{word}', None)
        if command is None:
            raise ValueError(f'no such command: {word}')
        await command(rest, context, queue)

    async def cancel(self, context: RequestContext, queue: EventQueue) -> None:
        await TaskUpdater(queue, context.task_id, context.context_id).cancel()

    async def _resume(self, context, queue):
        work = TaskUpdater(queue, context.task_id, context.context_id)
        await work.add_artifact([new_text_part(f'got {context.get_user_input()}')], name='answer')
        await work.complete()

    async def _begin(self, context, queue) -> TaskUpdater:
        await queue.enqueue_event(new_task_from_user_message(context.message))
        work = TaskUpdater(queue, context.task_id, context.context_id)
        await work.start_work()
        return work

    # Answers that are one message.

    async def do_echo(self, rest, context, queue):
        await queue.enqueue_event(new_text_message(rest, context_id=context.context_id))

    async def do_release(self, key, context, queue):
        self.gate(key).set()
        await queue.enqueue_event(new_text_message('released'))

    async def do_data(self, rest, context, queue):
        given = [part for part in context.message.parts if part.HasField('data')]
        await queue.enqueue_event(new_message(given or [new_data_part(SAMPLE)]))

    async def do_file(self, rest, context, queue):
        files = [part for part in context.message.parts if part.HasField('raw') or part.HasField('url')]
        await queue.enqueue_event(new_message(files))

    async def do_headers(self, rest, context, queue):
        seen = {
            'headers': seen_headers(context.call_context.state),
            'extensions': sorted(context.requested_extensions),
            'tenant': context.tenant,
        }
        await queue.enqueue_event(new_message([new_data_part(seen)]))

    async def do_meta(self, rest, context, queue):
        message = MessageToDict(context.message.metadata)
        seen = {
            'request': context.metadata,
            'message': message,
            'extensions': list(context.message.extensions),
            'configuration': MessageToDict(context.configuration),
        }
        reply = new_message([new_data_part(seen)])
        reply.metadata.update(message)
        reply.extensions.extend(context.message.extensions)
        reply.reference_task_ids.extend(context.message.reference_task_ids)
        await queue.enqueue_event(reply)

    async def do_error(self, code, context, queue):
        raise ERRORS[int(code)](f'asked for {code}', data={'asked': code})

    async def do_invalid(self, rest, context, queue):
        """The SDK's own shape of a validation error: its data is a list, inside ErrorInfo's map of strings."""
        raise ERRORS[-32602]('not like this', data={'errors': [{'field': 'message.parts', 'message': 'too odd'}]})

    # Answers that are a task.

    async def do_task(self, rest, context, queue):
        work = await self._begin(context, queue)
        await work.add_artifact([new_text_part(rest)], artifact_id='a1', name='result', metadata={'n': 1})
        await work.complete(work.new_agent_message([new_text_part('done')]))

    async def do_stream(self, count, context, queue):
        work = await self._begin(context, queue)
        last = int(count) - 1
        for n in range(last + 1):
            chunk = [new_text_part(f'chunk {n}')]
            await work.add_artifact(chunk, artifact_id='a1', append=n > 0, last_chunk=n == last)
            if n % 2:
                await work.start_work(work.new_agent_message([new_text_part(f'after {n}')]))
        await work.complete()

    async def do_hold(self, key, context, queue):
        work = await self._begin(context, queue)
        await work.add_artifact([new_text_part('first')], artifact_id='a1')
        await self.gate(key).wait()
        await work.add_artifact([new_text_part('second')], artifact_id='a1', append=True, last_chunk=True)
        await work.complete()

    async def do_slow(self, rest, context, queue):
        await self._begin(context, queue)
        await asyncio.Event().wait()

    async def do_silent(self, seconds, context, queue):
        work = await self._begin(context, queue)
        await asyncio.sleep(float(seconds))
        await work.complete()

    async def do_input(self, rest, context, queue):
        work = await self._begin(context, queue)
        await work.requires_input(work.new_agent_message([new_text_part('which one?')]))

    async def do_login(self, rest, context, queue):
        work = await self._begin(context, queue)
        await work.requires_auth(work.new_agent_message([new_text_part('log in first')]))

    async def do_fail(self, rest, context, queue):
        work = await self._begin(context, queue)
        await work.failed(work.new_agent_message([new_text_part('it broke')]))

    async def do_reject(self, rest, context, queue):
        work = await self._begin(context, queue)
        await work.reject()

    async def do_break(self, code, context, queue):
        work = await self._begin(context, queue)
        await work.add_artifact([new_text_part('first')], artifact_id='a1')
        raise ERRORS[int(code)](f'asked for {code}')

    async def do_cut(self, rest, context, queue):
        """The door cuts the connection of this one after the first event (see `Door`)."""
        await self._begin(context, queue)
        await asyncio.Event().wait()

    async def do_auth(self, rest, context, queue):
        """Reached only with an Authorization header (see `Door`)."""
        await self.do_headers(rest, context, queue)


def seen_headers(state) -> dict:
    """Headers of an HTTP call or metadata of a gRPC call, names in lower case; binary metadata left out."""
    if 'headers' in state:
        return {name.lower(): value for name, value in state['headers'].items()}
    metadata = state['grpc_context'].invocation_metadata() or ()
    return {name: value for name, value in metadata if isinstance(value, str)}


def agent_card(http: str, rpc: str) -> pb.AgentCard:
    """The public card: three interfaces, a bearer scheme that the SDK's AuthInterceptor understands."""
    bearer = pb.SecurityScheme(http_auth_security_scheme=pb.HTTPAuthSecurityScheme(scheme='Bearer'))
    return pb.AgentCard(
        name='peer',
        description='Does what it is told',
        version='1.2.3',
        documentation_url='https://docs.example/peer',
        supported_interfaces=[
            pb.AgentInterface(url=http, protocol_binding='JSONRPC', protocol_version='1.0'),
            pb.AgentInterface(url=http, protocol_binding='HTTP+JSON', protocol_version='1.0'),
            pb.AgentInterface(url=rpc, protocol_binding='GRPC', protocol_version='1.0'),
        ],
        capabilities=pb.AgentCapabilities(
            streaming=True,
            push_notifications=True,
            extended_agent_card=True,
            extensions=[pb.AgentExtension(uri=EXTENSION, description='Adds nothing', required=False)],
        ),
        security_schemes={'token': bearer},
        security_requirements=[pb.SecurityRequirement(schemes={'token': pb.StringList()})],
        default_input_modes=['text/plain', 'application/json'],
        default_output_modes=['text/plain'],
        skills=[pb.AgentSkill(id='obey', name='Obey', description='Obeys', tags=['test'], examples=['echo hi'])],
    )


def extended_card(card: pb.AgentCard) -> pb.AgentCard:
    """The card for callers who are known: one more skill."""
    extended = pb.AgentCard()
    extended.CopyFrom(card)
    extended.skills.append(pb.AgentSkill(id='secret', name='Secret', description='For friends', tags=['test']))
    return extended


def application(handler, card: pb.AgentCard) -> Door:
    """The HTTP side: the SDK's routes behind the door that plays the awkward parts."""

    async def body(request):
        kept = door.bodies.get(request.path_params['key'])
        return Response(kept, media_type='application/json') if kept is not None else Response(status_code=404)

    async def open_calls(request):
        return JSONResponse(sorted(door.open.values()))

    routes = [
        Route('/test/body/{key}', body),
        Route('/test/open', open_calls),
        *create_agent_card_routes(card),
        *create_jsonrpc_routes(handler, '/'),
        *create_rest_routes(handler),
    ]
    door = Door(Starlette(routes=routes))
    return door


async def serve() -> None:
    """Listens on two free ports of 127.0.0.1, says so, and serves until stopped."""
    listener = socket.create_server(('127.0.0.1', 0))
    rpc = grpc.aio.server()
    rpc_port = rpc.add_insecure_port('127.0.0.1:0')
    http_url, rpc_url = f'http://127.0.0.1:{listener.getsockname()[1]}', f'127.0.0.1:{rpc_port}'
    card = agent_card(http_url, rpc_url)
    handler = DefaultRequestHandler(
        Commands(),
        InMemoryTaskStore(),
        card,
        push_config_store=InMemoryPushNotificationConfigStore(),
        extended_agent_card=extended_card(card),
    )
    add_A2AServiceServicer_to_server(GrpcHandler(handler), rpc)
    await rpc.start()
    config = uvicorn.Config(application(handler, card), log_level='warning', timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    print(json.dumps({'http': http_url, 'grpc': rpc_url}), flush=True)
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    await rpc.stop(None)


if __name__ == '__main__':
    sys.exit(asyncio.run(serve()))

"""Sending and streaming, and what a part may hold, through the SDK's own client."""

import asyncio
from contextlib import aclosing

from a2a.client import A2AClientTimeoutError, ClientCallContext
from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Value

from harness import HTTP, JSONRPC, Target, ask, collect, expect, expect_that, fresh, raises, scenario, user
from words import SAMPLE


def shape(event: pb.StreamResponse) -> str:
    """What an event is and says, in a word."""
    kind = event.WhichOneof('payload')
    if kind == 'status_update':
        return pb.TaskState.Name(event.status_update.status.state).removeprefix('TASK_STATE_')
    return event.artifact_update.artifact.parts[0].text if kind == 'artifact_update' else kind


def texts(parts) -> list[str]:
    """The texts of parts, in order."""
    return [part.text for part in parts]


async def finished_task(target: Target, text: str = 'task done') -> pb.Task:
    """A task that is over."""
    async with target.client(streaming=False) as client:
        return (await ask(client, user(text))).task


@scenario()
async def send_answers_with_a_message(target: Target):
    async with target.client(streaming=False) as client:
        reply = await ask(client, user('echo hello over there'))
    expect(texts(reply.message.parts), ['hello over there'], 'text')
    expect(reply.message.role, pb.ROLE_AGENT, 'role')
    expect_that(reply.message.message_id, 'the message has an id')


@scenario()
async def send_answers_with_a_task(target: Target):
    task = await finished_task(target, 'task write this')
    expect(task.status.state, pb.TASK_STATE_COMPLETED, 'state')
    expect(texts(task.status.message.parts), ['done'], 'status message')
    expect_that(task.status.HasField('timestamp'), 'the status has a time')
    expect([a.artifact_id for a in task.artifacts], ['a1'], 'artifacts')
    expect(texts(task.artifacts[0].parts), ['write this'], 'artifact text')
    expect(task.artifacts[0].metadata['n'], 1, 'artifact metadata')
    expect(texts(task.history[0].parts), ['task write this'], 'history')


@scenario()
async def text_of_every_script_arrives_whole(target: Target):
    text = 'ěščřž 日本語 \U0001f409\u200d\U0001f525 \u2028 \u2029 "quoted" \\ \t \x01 \x7f \ufffd end'
    async with target.client(streaming=False) as client:
        reply = await ask(client, user(f'echo {text}'))
    expect(reply.message.parts[0].text, text, 'text')


@scenario()
async def a_megabyte_of_text_arrives_whole(target: Target):
    text = '0123456789abcdé\n' * 65536
    async with target.client(streaming=False) as client:
        reply = await ask(client, user(f'echo {text}'))
    expect(reply.message.parts[0].text == text, True, 'the same text')


@scenario()
async def a_stream_gives_its_events_in_order(target: Target):
    async with target.client() as client:
        events = await collect(client, user('stream 40'))
    wanted = ['task', 'WORKING']
    for n in range(40):
        wanted += [f'chunk {n}', 'WORKING'] if n % 2 else [f'chunk {n}']
    expect([shape(event) for event in events], [*wanted, 'COMPLETED'], 'events')
    chunks = [e.artifact_update for e in events if e.HasField('artifact_update')]
    expect([c.append for c in chunks], [False] + [True] * 39, 'append')
    expect([c.last_chunk for c in chunks], [False] * 39 + [True], 'last_chunk')
    expect({c.task_id for c in chunks}, {events[0].task.id}, 'task ids')


@scenario()
async def a_stream_is_prompt(target: Target):
    """The agent writes the second half only after the caller has the first: nothing may be held back on the way."""
    key = fresh('prompt')
    async with target.client() as client, target.client(streaming=False) as other:
        async with aclosing(client.send_message(user(f'hold {key}'))) as events:
            seen = [shape(await anext(events)) for _ in range(3)]
            expect(seen, ['task', 'WORKING', 'first'], 'events before the release')
            await ask(other, user(f'release {key}'))
            rest = [shape(event) async for event in events]
    expect(rest, ['second', 'COMPLETED'], 'events after the release')


@scenario()
async def a_stream_may_be_a_single_message(target: Target):
    async with target.client() as client:
        reply = await ask(client, user('echo alone'))
    expect(texts(reply.message.parts), ['alone'], 'text')


@scenario(HTTP, direct_fails='the SDK server pings every 15 s, httpx gives up after 5 s')
async def a_silent_stream_outlives_the_default_timeout(target: Target):
    async with target.client() as client:
        events = await collect(client, user('silent 6.5'))
    expect([shape(event) for event in events], ['task', 'WORKING', 'COMPLETED'], 'events')


@scenario((JSONRPC,))
async def a_call_after_the_agents_idle_limit_is_answered(target: Target):
    """The SDK's server (uvicorn) closes idle connections after 5 s: a reused one must not lose the call."""
    for pause in (0, 4.9, 5.1):
        await asyncio.sleep(pause)
        async with target.client(streaming=False) as client:
            reply = await ask(client, user(f'echo after {pause}'))
        expect(reply.message.parts[0].text, f'after {pause}', 'text')


@scenario()
async def files_arrive_byte_for_byte(target: Target):
    every, large = bytes(range(256)), bytes(n * 7 % 256 for n in range(300_001))
    given = [
        pb.Part(raw=every, media_type='application/octet-stream', filename='every byte.bin'),
        pb.Part(raw=large, media_type='image/png', filename='obrázek.png'),
        pb.Part(raw=b'\xff', metadata={'page': 1.5}),
        pb.Part(url='https://files.example/a%20b?x=1&y=ž#z', media_type='text/html'),
    ]
    async with target.client(streaming=False) as client:
        reply = await ask(client, user('file', *given))
    expect([p.SerializeToString(deterministic=True) for p in reply.message.parts],
           [p.SerializeToString(deterministic=True) for p in given], 'parts')


@scenario()
async def data_parts_arrive_value_for_value(target: Target):
    async with target.client(streaming=False) as client:
        sample = await ask(client, user('data'))
        expect(MessageToDict(sample.message.parts[0])['data'], SAMPLE, 'sample')
        for value in (SAMPLE, [], {}, 'text', 0, -1.5, True, False, [1, [None]], {'': {'': None}}):
            part = pb.Part(media_type='application/json')
            part.data.CopyFrom(value_of(value))
            reply = await ask(client, user('data', part))
            expect(MessageToDict(reply.message.parts[0]).get('data'), value, 'echoed value')
        nothing = pb.Part()
        nothing.data.null_value = 0
        reply = await ask(client, user('data', nothing))
        expect(reply.message.parts[0].WhichOneof('content'), 'data', 'a part whose data is null')


def value_of(value):
    """A protobuf Value with this content."""
    return ParseDict(value, Value())


@scenario()
async def data_as_deep_as_the_protocol_allows_arrives(target: Target):
    """Protobuf libraries read 100 nested messages; an object inside a data part takes three of them."""
    value = 1.0
    for _ in range(30):
        value = {'in': value}
    part = pb.Part()
    part.data.CopyFrom(value_of(value))
    async with target.client(streaming=False) as client:
        reply = await ask(client, user('data', part))
    expect(MessageToDict(reply.message.parts[0])['data'], value, 'value')


@scenario()
async def fifty_calls_at_once_each_get_their_own_answer(target: Target):
    async with target.client() as client, target.client(streaming=False) as plain:

        async def one(n: int):
            if n % 2:
                return (await ask(plain, user(f'echo {n}'))).message.parts[0].text
            events = await collect(client, user(f'stream {n}'))
            return str(sum(event.HasField('artifact_update') for event in events))

        # httpx's pool gives up after 5 s of waiting; the calls themselves are quick.
        answers = await asyncio.gather(*(one(n) for n in range(2, 52)))
    expect(answers, [str(n) for n in range(2, 52)], 'answers')


@scenario()
async def a_deadline_of_the_caller_ends_the_call(target: Target):
    async with target.client(streaming=False) as client:
        async with raises(A2AClientTimeoutError):
            await ask(client, user('silent 20'), ClientCallContext(timeout=0.5))

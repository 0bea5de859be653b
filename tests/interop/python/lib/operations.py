"""What every client does with every agent: the operations of the interop contract, in neutral words.

An operation returns a remark or nothing when it holds; an exception says why it does not.
"""

import asyncio
import time

from speaker import Speaker
from words import BINARY, EXTENSION, Chunk, Message, Status, Task, Unsupported, data, joined, raw, text, url

ECHOED = [
    text('echo ü€😀'),
    data({'n': 1, 'f': 1.5, 'big': 9007199254740991, 'deep': {'a': [1, [2, {'b': None}]]}}),
    raw(BINARY, 'b.bin'),
    url('https://example.org/y.pdf', kind='application/pdf'),
]
METADATA = {'k': 'v', 'n': 7}
RESULT = [
    text('done ü'),
    data({'n': 1, 'f': 1.5, 'big': 9007199254740991, 's': 'ü', 'list': [1, None, True], 'o': {}}),
    raw(BINARY, 'a.bin', 'application/octet-stream'),
    url('https://example.org/x.png', kind='image/png'),
]
STEPS = [
    Status('working', 'step 1'),
    *(Chunk([text(f'chunk {n}')]) for n in (1, 2, 3)),
    Status('completed', ''),
]
HEADERS = {
    'Authorization': 'Bearer s3cret',
    'X-API-Key': 'k3y',
    'traceparent': '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
}
HOOK = {'id': 'hook', 'url': 'https://example.org/hook', 'token': 't0k'}


def expect(actual, wanted, what: str) -> None:
    """Fails with what was wanted and what came."""
    if actual != wanted:
        raise AssertionError(f'{what}: wanted {wanted!r}, got {actual!r}')


def expect_kind(answer, kind: type, what: str = 'the answer') -> None:
    """Fails unless the answer is of that kind."""
    if not isinstance(answer, kind):
        raise AssertionError(f'{what}: wanted a {kind.__name__}, got {answer!r}')


async def card(speaker: Speaker) -> None:
    seen = speaker.card()
    expect(seen['name'], 'interop', 'name')
    if speaker.target.binding not in seen['bindings']:
        raise AssertionError(f'the card has no {speaker.target.binding} of {speaker.target.dialect}: {seen["bindings"]}')


async def echo(speaker: Speaker) -> None:
    answer = await speaker.send(ECHOED, metadata=METADATA)
    expect_kind(answer, Message)
    expect(answer.parts, ECHOED, 'parts')
    expect(answer.metadata, METADATA, 'metadata')


async def task(speaker: Speaker) -> None:
    done = await finished(speaker)
    if not done.context:
        raise AssertionError('the task has no context id')
    expect(done.artifacts, [{'name': 'result', 'parts': RESULT}], 'artifacts')
    expect(done.text, 'finished', 'message')


async def finished(speaker: Speaker) -> Task:
    """A task that has completed."""
    done = await speaker.send([text('task')])
    expect_kind(done, Task)
    expect(done.state, 'completed', 'state')
    if not done.id:
        raise AssertionError('the task has no id')
    return done


async def needs_input(speaker: Speaker) -> None:
    asked = await speaker.send([text('input')])
    expect_kind(asked, Task)
    expect((asked.state, asked.text), ('input-required', 'which one?'), 'state and message')
    done = await speaker.send([text('this one')], task=asked)
    expect_kind(done, Task, 'the second answer')
    expect((done.id, done.context, done.state), (asked.id, asked.context, 'completed'), 'id, context, state')


async def fail(speaker: Speaker) -> None:
    failed = await speaker.send([text('fail')])
    expect_kind(failed, Task)
    expect((failed.state, failed.text), ('failed', 'broken'), 'state and message')


async def stream(speaker: Speaker) -> None:
    times, events = [], []
    async for event in speaker.stream([text('stream')]):
        times.append(time.monotonic())
        events.append(event)
    if not events:
        raise AssertionError('the stream had no event')
    expect(events[1:] if isinstance(events[0], Task) else events, STEPS, 'events')
    if times[-1] - times[0] < 0.3:
        raise AssertionError(f'the events came within {times[-1] - times[0]:.3f} s: they were held back')


async def stream_echo(speaker: Speaker) -> None:
    events = [event async for event in speaker.stream([text('echo')])]
    expect([(type(event), event.parts) for event in events], [(Message, [text('echo')])], 'events')


async def get_task(speaker: Speaker) -> None:
    done = await finished(speaker)
    again = await speaker.get_task(done.id)
    expect((again.id, again.state), (done.id, 'completed'), 'id and state')
    expect(again.artifacts, [{'name': 'result', 'parts': RESULT}], 'artifacts')
    short = await speaker.get_task(done.id, history=1)
    if short.history > 1:
        raise AssertionError(f'{short.history} history entries, though one was asked for')


async def list_tasks(speaker: Speaker) -> None:
    if speaker.target.dialect == '0.3':
        raise Unsupported('0.3 has no ListTasks')
    done = await finished(speaker)
    expect(await speaker.list_tasks(done.context), [done.id], 'tasks of the context')


async def waiting(speaker: Speaker) -> Task:
    """A task that is at work until somebody cancels it."""
    begun = await speaker.send([text('wait')], blocking=False)
    expect_kind(begun, Task)
    if begun.state not in ('submitted', 'working'):
        raise AssertionError(f'the task that should wait is {begun.state}')
    return begun


async def cancel(speaker: Speaker) -> None:
    begun = await waiting(speaker)
    cancelled = await speaker.cancel(begun.id)
    expect((cancelled.id, cancelled.state), (begun.id, 'canceled'), 'id and state')


async def subscribe(speaker: Speaker) -> str | None:
    begun = await waiting(speaker)
    first, events = asyncio.Event(), []

    async def follow() -> None:
        async for event in speaker.subscribe(begun.id):
            events.append(event)
            first.set()

    async with asyncio.TaskGroup() as group:
        following = group.create_task(follow())
        # A 0.3 server may send nothing until something happens: then only the end of the stream can be looked at.
        waiting_first = group.create_task(first.wait())
        await asyncio.wait([following, waiting_first], timeout=1.5, return_when=asyncio.FIRST_COMPLETED)
        waiting_first.cancel()
        seen = len(events)
        if following.done() and following.exception() is None:
            raise AssertionError(f'the stream ended before the task did: {events!r}')
        if not following.done():
            await speaker.cancel(begun.id)
    if not any(getattr(event, 'state', '') == 'canceled' for event in events):
        raise AssertionError(f'the stream did not show that the task was cancelled: {events!r}')
    return None if seen else 'no event came before the cancellation'


async def push(speaker: Speaker) -> str | None:
    begun = await waiting(speaker)
    made = await speaker.push_create(begun.id, HOOK)
    expect((made['url'], made['token']), (HOOK['url'], HOOK['token']), 'what was created')
    got = await speaker.push_get(begun.id, HOOK['id'])
    expect(got, HOOK, 'what was created, asked for again')
    try:
        expect(await speaker.push_list(begun.id), [HOOK], 'list')
        await speaker.push_delete(begun.id, HOOK['id'])
        expect(await speaker.push_list(begun.id), [], 'list after delete')
    except Unsupported as gap:
        return f'create and get only: {gap}'
    return None


async def extended_card(speaker: Speaker) -> None:
    seen = await speaker.extended_card()
    expect(seen['name'], 'interop', 'name')
    if 'extended' not in seen['skills']:
        raise AssertionError(f'the skill "extended" is not on the card: {seen["skills"]}')


async def refused(speaker: Speaker, call, wanted: str) -> None:
    """The call must fail, as the SDK says it."""
    try:
        answer = await call
    except Unsupported:
        raise
    except Exception as error:
        if speaker.error(error) != wanted:
            raise AssertionError(f'wanted {wanted}, got {type(error).__name__}: {error}') from error
    else:
        raise AssertionError(f'wanted {wanted}, got {answer!r}')


async def not_found(speaker: Speaker) -> None:
    await refused(speaker, speaker.get_task('00000000-0000-4000-8000-000000000000'), 'TaskNotFound')


async def not_cancelable(speaker: Speaker) -> None:
    done = await finished(speaker)
    await refused(speaker, speaker.cancel(done.id), 'TaskNotCancelable')


async def seen_by_agent(speaker: Speaker, **how) -> dict:
    """What the agent saw of the call."""
    answer = await speaker.send([text('headers')], **how)
    expect_kind(answer, Message)
    seen = answer.parts[0].get('data')
    if not isinstance(seen, dict):
        raise AssertionError(f'wanted one data part, got {answer.parts!r}')
    if seen.get('unsupported'):
        raise Unsupported("the agent's SDK shows an executor no headers")
    return seen


async def headers(speaker: Speaker) -> None:
    seen = await seen_by_agent(speaker, headers=HEADERS)
    names = ('Authorization', 'X-API-Key', 'traceparent')
    expect({name: seen.get(name.lower()) for name in names}, HEADERS, 'headers')


async def extensions(speaker: Speaker) -> None:
    seen = await seen_by_agent(speaker, extensions=[EXTENSION])
    expect(seen.get('extensions'), [EXTENSION], 'extensions')


OPERATIONS = {
    'Card': card,
    'SendMessage/echo': echo,
    'SendMessage/task': task,
    'SendMessage/input': needs_input,
    'SendMessage/fail': fail,
    'SendStreamingMessage': stream,
    'SendStreamingMessage/echo': stream_echo,
    'GetTask': get_task,
    'ListTasks': list_tasks,
    'CancelTask': cancel,
    'SubscribeToTask': subscribe,
    'PushNotificationConfig': push,
    'GetExtendedAgentCard': extended_card,
    'Errors/TaskNotFound': not_found,
    'Errors/NotCancelable': not_cancelable,
    'Headers': headers,
    'Extensions': extensions,
}

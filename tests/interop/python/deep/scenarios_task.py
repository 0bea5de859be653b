"""The life of a task through the SDK's own client: read, listed, canceled, subscribed to, resumed and left alone."""

from contextlib import aclosing

from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import UnsupportedOperationError
from google.protobuf.json_format import MessageToDict

from harness import HTTP, Target, ask, collect, eventually, expect, expect_that, fresh, open_calls, raises
from harness import scenario, user
from scenarios import finished_task, shape, texts

WORKING, COMPLETED, CANCELED = pb.TASK_STATE_WORKING, pb.TASK_STATE_COMPLETED, pb.TASK_STATE_CANCELED


@scenario()
async def get_task_gives_the_task_as_it_was_sent(target: Target):
    task = await finished_task(target)
    async with target.client() as client:
        again = await client.get_task(pb.GetTaskRequest(id=task.id))
        short = await client.get_task(pb.GetTaskRequest(id=task.id, history_length=0))
    expect(MessageToDict(again), MessageToDict(task), 'task')
    expect(len(short.history), 0, 'history when none is asked for')


@scenario()
async def list_tasks_filters_and_pages(target: Target):
    context = fresh('list')
    async with target.client(streaming=False) as client:
        for n in range(3):
            await ask(client, user(f'task number {n}', context_id=context))
        await ask(client, user('fail', context_id=context))
        done = pb.ListTasksRequest(context_id=context, status=COMPLETED, page_size=2, include_artifacts=True)
        first = await client.list_tasks(done)
        expect((len(first.tasks), first.total_size, first.page_size), (2, 3, 2), 'first page')
        expect_that(first.next_page_token, 'there is a next page')
        done.page_token = first.next_page_token
        second = await client.list_tasks(done)
        bare = await client.list_tasks(pb.ListTasksRequest(context_id=context))
        none = await client.list_tasks(pb.ListTasksRequest(context_id='nowhere'))
    expect((len(second.tasks), second.next_page_token), (1, ''), 'last page')
    found = {task.artifacts[0].parts[0].text for task in [*first.tasks, *second.tasks]}
    expect(found, {'number 0', 'number 1', 'number 2'}, 'artifacts')
    expect((len(bare.tasks), bare.total_size), (4, 4), 'whole context')
    expect((len(none.tasks), none.total_size), (0, 0), 'empty list')


@scenario()
async def a_running_task_is_canceled_from_a_second_connection(target: Target):
    async with target.client() as client, target.client() as other:
        async with aclosing(client.send_message(user('slow'))) as events:
            task_id = (await anext(events)).task.id
            expect(shape(await anext(events)), 'WORKING', 'second event')
            canceled = await other.cancel_task(pb.CancelTaskRequest(id=task_id))
            expect(canceled.status.state, CANCELED, 'state in the answer')
            rest = [shape(event) async for event in events]
        expect(rest[-1:], ['CANCELED'], 'the stream ends with it')
        kept = await other.get_task(pb.GetTaskRequest(id=task_id))
    expect(kept.status.state, CANCELED, 'state kept')


@scenario()
async def a_running_task_can_be_subscribed_to(target: Target):
    key = fresh('subscribe')
    async with target.client(streaming=False, polling=True) as client, target.client() as other:
        task = (await ask(client, user(f'hold {key}'))).task

        async def has_begun():
            return (await client.get_task(pb.GetTaskRequest(id=task.id))).artifacts

        await eventually('the first artifact', has_begun)
        async with aclosing(other.subscribe(pb.SubscribeToTaskRequest(id=task.id))) as events:
            first = await anext(events)
            expect(first.task.id, task.id, 'the first event is the task')
            expect(first.task.status.state, WORKING, 'its state')
            expect(texts(first.task.artifacts[0].parts), ['first'], 'what it has so far')
            await ask(client, user(f'release {key}'))
            expect([shape(event) async for event in events], ['second', 'COMPLETED'], 'events after the task')


@scenario()
async def a_stream_that_was_left_can_be_taken_up_again(target: Target):
    key = fresh('again')
    async with target.client() as client:
        async with aclosing(client.send_message(user(f'hold {key}'))) as events:
            task_id = (await anext(events)).task.id
    async with target.client() as client, target.client(streaming=False) as other:
        async with aclosing(client.subscribe(pb.SubscribeToTaskRequest(id=task_id))) as events:
            expect((await anext(events)).task.id, task_id, 'the first event is the task')
            await ask(other, user(f'release {key}'))
            rest = [shape(event) async for event in events]
    expect(rest[-2:], ['second', 'COMPLETED'], 'events to the end')


@scenario()
async def a_task_that_needs_input_goes_on_with_it(target: Target):
    async with target.client(streaming=False) as client:
        task = (await ask(client, user('input'))).task
        expect(task.status.state, pb.TASK_STATE_INPUT_REQUIRED, 'state')
        expect(texts(task.status.message.parts), ['which one?'], 'question')
        done = (await ask(client, user('the red one', task_id=task.id, context_id=task.context_id))).task
    expect((done.id, done.context_id), (task.id, task.context_id), 'ids')
    expect(done.status.state, COMPLETED, 'state')
    expect(texts(done.artifacts[0].parts), ['got the red one'], 'answer')
    said = [part.text for message in done.history for part in message.parts]
    expect_that(said[0] == 'input' and 'the red one' in said, f'both messages are in the history: {said}')


@scenario()
async def a_stream_that_needs_input_ends_and_goes_on(target: Target):
    async with target.client() as client:
        events = await collect(client, user('input'))
        expect([shape(e) for e in events], ['task', 'WORKING', 'INPUT_REQUIRED'], 'events')
        more = await collect(client, user('blue', task_id=events[0].task.id))
    expect([shape(e) for e in more], ['got blue', 'COMPLETED'], 'events after the input')


@scenario()
async def the_other_ends_of_a_task_arrive(target: Target):
    async with target.client(streaming=False) as client:
        for word, state in (('fail', 'FAILED'), ('reject', 'REJECTED'), ('login', 'AUTH_REQUIRED')):
            task = (await ask(client, user(word))).task
            expect(pb.TaskState.Name(task.status.state), f'TASK_STATE_{state}', word)


@scenario()
async def return_immediately_gives_a_running_task(target: Target):
    async with target.client(streaming=False, polling=True) as client:
        task = (await ask(client, user('slow'))).task
        expect_that(task.status.state in (pb.TASK_STATE_SUBMITTED, WORKING), f'running, not {task.status.state}')
        canceled = await client.cancel_task(pb.CancelTaskRequest(id=task.id))
        expect(canceled.status.state, CANCELED, 'state')


@scenario()
async def a_client_that_leaves_early_cancels_nothing_else(target: Target):
    mine, other = fresh('leaver'), fresh('stayer')
    async with target.client() as stays, target.client(streaming=False) as asks:
        async with aclosing(stays.send_message(user(f'hold {other}'))) as events:
            expect(shape(await anext(events)), 'task', 'first event')
            async with target.client() as leaves:
                async with aclosing(leaves.send_message(user(f'hold {mine}'))) as left:
                    task_id = (await anext(left)).task.id
            await ask(asks, user(f'release {other}'))
            rest = [shape(event) async for event in events]
        expect(rest[-2:], ['second', 'COMPLETED'], 'the other stream')
        task = await asks.get_task(pb.GetTaskRequest(id=task_id))
        expect(task.status.state, WORKING, 'the task goes on without its caller')
        await asks.cancel_task(pb.CancelTaskRequest(id=task_id))


@scenario(HTTP)
async def a_call_that_was_left_ends_at_the_agent(target: Target):
    """Only the agent's HTTP door counts open calls: a gRPC agent called directly has none."""
    text = f'hold {fresh("gone")}'
    async with target.client() as client:
        async with aclosing(client.send_message(user(text))) as events:
            task_id = (await anext(events)).task.id
            expect_that(text in await open_calls(target), 'the call is open')

    async def is_closed():
        return text not in await open_calls(target)

    await eventually('the call ends at the agent', is_closed)
    async with target.client() as client:
        await client.cancel_task(pb.CancelTaskRequest(id=task_id))


@scenario()
async def a_finished_task_takes_no_more_messages(target: Target):
    task = await finished_task(target)
    async with target.client(streaming=False) as client:
        async with raises(UnsupportedOperationError) as caught:
            await ask(client, user('echo more', task_id=task.id))
    expect_that(task.id in str(caught.error), f'the message names the task: {caught.error}')

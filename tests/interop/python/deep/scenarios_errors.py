"""Errors: of every kind, before, amid and instead of an answer, as the SDK's own client sees them."""

from a2a.client import A2AClientError
from a2a.types import a2a_pb2 as pb
from a2a.utils import errors

from harness import GRPC, HTTP, JSONRPC, MTLS, Target, ask, collect, expect, expect_that, raises, scenario, user
from scenarios import finished_task, shape


@scenario()
async def an_unknown_task_is_not_found(target: Target):
    async with target.client() as client:
        for call in (
            client.get_task(pb.GetTaskRequest(id='nothing')),
            client.cancel_task(pb.CancelTaskRequest(id='nothing')),
            collect(client, user('echo hi', task_id='nothing')),
            first_of(client.subscribe(pb.SubscribeToTaskRequest(id='nothing'))),
            client.get_task_push_notification_config(
                pb.GetTaskPushNotificationConfigRequest(task_id='nothing', id='none')
            ),
        ):
            async with raises(errors.TaskNotFoundError):
                await call


async def first_of(stream):
    """The first event of a stream, which is then left."""
    try:
        return await anext(stream)
    finally:
        await stream.aclose()


@scenario()
async def an_error_before_the_first_event_of_a_stream_is_that_error(target: Target):
    async with target.client() as client:
        async with raises(errors.TaskNotFoundError):
            await collect(client, user('echo hi', task_id='nothing'))
        async with raises(errors.ContentTypeNotSupportedError):
            await collect(client, user('error -32005'))


@scenario()
async def an_error_amid_a_stream_comes_after_the_events_before_it(target: Target):
    seen = []
    async with target.client() as client:
        async with raises(errors.InvalidAgentResponseError) as caught:
            async for event in client.send_message(user('break -32006')):
                seen.append(shape(event))
    expect(seen, ['task', 'WORKING', 'first'], 'events before the error')
    expect(str(caught.error), 'asked for -32006', 'message')


@scenario(HTTP)
async def a_stream_that_the_agent_cuts_is_an_error_and_not_an_end(target: Target):
    """Directly httpx sees the broken connection; a sidecar must say so in the protocol. Both are an A2AError."""
    seen = []
    try:
        async with target.client() as client:
            async for event in client.send_message(user('cut')):
                seen.append(shape(event))
    except errors.A2AError:
        expect(seen[:1], ['task'], 'the event before the cut')
        return
    raise AssertionError(f'the stream ended as if nothing were wrong after {seen}')


@scenario()
async def a_finished_task_is_not_cancelable(target: Target):
    task = await finished_task(target)
    async with target.client() as client:
        async with raises(errors.TaskNotCancelableError):
            await client.cancel_task(pb.CancelTaskRequest(id=task.id))


@scenario()
async def a_finished_task_cannot_be_subscribed_to(target: Target):
    task = await finished_task(target)
    async with target.client() as client:
        async with raises(errors.UnsupportedOperationError):
            await first_of(client.subscribe(pb.SubscribeToTaskRequest(id=task.id)))


@scenario()
async def the_agents_own_refusals_of_parameters_arrive(target: Target):
    task = await finished_task(target)
    async with target.client() as client:
        async with raises(errors.InvalidParamsError) as caught:
            await client.get_task(pb.GetTaskRequest(id=task.id, history_length=-1))
        expect_that('history' in str(caught.error).lower(), f'it says what is wrong: {caught.error}')
        async with raises(errors.InvalidParamsError):
            await client.list_tasks(pb.ListTasksRequest(page_size=1000))


@scenario((JSONRPC, GRPC, MTLS))
async def a_request_without_what_it_needs_is_refused(target: Target):
    """Directly the agent refuses it, else the first sidecar: the same error either way."""
    async with target.client() as client:
        async with raises(errors.InvalidParamsError):
            await client.get_task(pb.GetTaskRequest())
        async with raises(errors.InvalidParamsError):
            await collect(client, pb.SendMessageRequest(message=pb.Message(message_id='m')))


@scenario()
async def every_listed_error_keeps_its_kind_and_message(target: Target):
    async with target.client(streaming=False) as client:
        for kind, code in errors.JSON_RPC_ERROR_CODE_MAP.items():
            if kind is errors.JSONParseError:  # the SDK's server cannot send it: it answers -32603
                continue
            if kind is errors.InvalidRequestError and target.binding != JSONRPC:
                continue  # HTTP+JSON and gRPC have no reason for it: the SDK cannot tell it from others
            async with raises(kind) as caught:
                await ask(client, user(f'error {code}'))
            expect(str(caught.error), f'asked for {code}', 'message')


@scenario(HTTP)
async def the_data_of_an_error_arrives(target: Target):
    async with target.client(streaming=False) as client:
        async with raises(errors.TaskNotFoundError) as caught:
            await ask(client, user('error -32001'))
        expect(caught.error.data, {'asked': '-32001'}, 'metadata of ErrorInfo')


@scenario((JSONRPC,))
async def the_data_of_a_validation_error_arrives_as_the_sdk_wrote_it(target: Target):
    """The SDK puts a list where ErrorInfo has a map of strings."""
    async with target.client(streaming=False) as client:
        async with raises(errors.InvalidParamsError) as caught:
            await ask(client, user('invalid'))
    expect(caught.error.data, {'errors': [{'field': 'message.parts', 'message': 'too odd'}]}, 'data')


@scenario((GRPC, MTLS))
async def the_violations_of_a_validation_error_arrive(target: Target):
    async with target.client(streaming=False) as client:
        async with raises(errors.InvalidParamsError) as caught:
            await ask(client, user('invalid'))
    expect_that('message.parts' in str(caught.error.data), f'the field is named: {caught.error.data}')


@scenario((JSONRPC,))
async def a_code_that_no_one_listed_keeps_its_number(target: Target):
    async with target.client(streaming=False) as client:
        for name, text in (
            ('unlisted', 'JSON-RPC Error -32050: out of tea'),
            ('positive', 'JSON-RPC Error 4711: a code of our own'),
            ('bare', 'JSON-RPC Error -32099: '),
        ):
            async with raises(A2AClientError) as caught:
                await ask(client, user(f'fault {name}'))
            expect(str(caught.error), text, name)
    async with target.client() as client:
        async with raises(A2AClientError) as caught:
            await collect(client, user('fault unlisted'))
        expect(str(caught.error), 'JSON-RPC Error -32050: out of tea', 'streaming')


@scenario(HTTP)
async def a_bare_http_refusal_keeps_its_status_and_headers(target: Target):
    for streaming in (False, True):
        async with target.client(streaming=streaming) as client:
            async with raises(A2AClientError) as caught:
                await collect(client, user('auth'))
            response = caught.error.__cause__.response
            expect(response.status_code, 401, 'status')
            expect(response.headers.get('www-authenticate'), 'Bearer realm="peer", error="invalid_token"', 'challenge')
            for status in (403, 429, 503):
                async with raises(A2AClientError) as caught:
                    await collect(client, user(f'http {status}'))
                response = caught.error.__cause__.response
                expect(response.status_code, status, 'status')
                expect(response.headers.get('retry-after'), '7', f'Retry-After of {status}')

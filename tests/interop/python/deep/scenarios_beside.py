"""What travels beside the body: headers, extensions, metadata, push-notification configs and the extended card."""

import httpx
from a2a.client import AuthInterceptor, ClientCallContext, InMemoryContextCredentialStore
from a2a.client.service_parameters import ServiceParametersFactory, with_a2a_extensions
from a2a.types import a2a_pb2 as pb
from a2a.utils import errors
from google.protobuf.json_format import MessageToDict

from harness import HTTP, Target, ask, collect, expect, expect_that, raises, scenario, user
from scenarios import finished_task
from words import EXTENSION


def answer_of(reply: pb.StreamResponse) -> dict:
    """The data part of a message."""
    return MessageToDict(reply.message.parts[0])['data']


def beside(**parameters: str) -> ClientCallContext:
    """A context that sends these headers; underscores stand for dashes."""
    return ClientCallContext(service_parameters={key.replace('_', '-'): value for key, value in parameters.items()})


@scenario()
async def authorization_reaches_the_agent(target: Target):
    async with target.client(streaming=False) as client:
        reply = await ask(client, user('auth'), beside(Authorization='Bearer s3cret+/=='))
    expect(answer_of(reply)['headers'].get('authorization'), 'Bearer s3cret+/==', 'Authorization')


@scenario()
async def the_sdks_own_authenticator_finds_its_scheme_in_the_card(target: Target):
    store = InMemoryContextCredentialStore()
    await store.set_credentials('session', 'token', 'from-the-store')
    context = ClientCallContext(state={'sessionId': 'session'})
    async with target.client(streaming=False, interceptors=[AuthInterceptor(store)]) as client:
        reply = await ask(client, user('auth'), context)
    expect(answer_of(reply)['headers'].get('authorization'), 'Bearer from-the-store', 'Authorization')


@scenario()
async def headers_of_the_caller_reach_the_agent(target: Target):
    sent = {
        'traceparent': '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
        'tracestate': 'a=1,b=2',
        'baggage': 'user=alice',
        'x-api-key': 'k 1',
        'x-request-id': 'r-1',
    }
    async with target.client(streaming=False) as client:
        reply = await ask(client, user('headers'), ClientCallContext(service_parameters=sent))
    seen = answer_of(reply)['headers']
    trace = sent.pop('traceparent')
    expect({key: seen.get(key) for key in sent}, sent, 'headers')
    expect(seen.get('traceparent', '')[:35], trace[:35], 'trace id')
    expect(answer_of(reply)['tenant'], '', 'no tenant that the agent did not ask for')


@scenario()
async def the_agent_hears_the_protocol_version(target: Target):
    async with target.client(streaming=False) as client:
        seen = answer_of(await ask(client, user('headers')))
    expect(seen['headers'].get('a2a-version'), '1.0', 'A2A-Version')


@scenario()
async def extensions_reach_the_agent(target: Target):
    asked = [EXTENSION, 'https://extensions.example/other']
    context = ClientCallContext(service_parameters=ServiceParametersFactory.create([with_a2a_extensions(asked)]))
    async with target.client(streaming=False) as client:
        reply = await ask(client, user('headers'), context)
    expect(answer_of(reply)['extensions'], sorted(asked), 'requested extensions')


@scenario(HTTP)
async def activated_extensions_come_back(target: Target):
    """The SDK's client shows no reply headers: they are read from the HTTP client below it."""
    heard = []

    async def listen(response):
        if response.request.method == 'POST':
            heard.append(response.headers.get('a2a-extensions'))

    context = ClientCallContext(service_parameters=ServiceParametersFactory.create([with_a2a_extensions([EXTENSION])]))
    async with httpx.AsyncClient(event_hooks={'response': [listen]}) as http:
        for streaming in (False, True):
            async with target.client(http=http, streaming=streaming) as client:
                await collect(client, user('stream 2'), context)
                await collect(client, user('stream 2'))
    expect(heard, [EXTENSION, None, EXTENSION, None], 'A2A-Extensions of the replies')


@scenario()
async def metadata_of_request_and_message_arrives(target: Target):
    request = user('meta', extensions=[EXTENSION], reference_task_ids=['t1', 't2'])
    request.metadata.update({'https://ext.example/a': {'n': 1, 'list': [None, True]}, 'b': 'ž'})
    request.message.metadata.update({'nothing': None, 'whole': 3, 'part': 0.25})
    request.configuration.accepted_output_modes.extend(['text/plain', 'image/*'])
    async with target.client(streaming=False) as client:
        reply = await ask(client, request)
    seen = answer_of(reply)
    expect(seen['request'], {'https://ext.example/a': {'n': 1, 'list': [None, True]}, 'b': 'ž'}, 'request')
    expect(seen['message'], {'nothing': None, 'whole': 3, 'part': 0.25}, 'message')
    expect(seen['extensions'], [EXTENSION], 'extensions of the message')
    expect(seen['configuration'].get('acceptedOutputModes'), ['text/plain', 'image/*'], 'output modes')
    expect(MessageToDict(reply.message.metadata), {'nothing': None, 'whole': 3, 'part': 0.25}, 'reply')
    expect(list(reply.message.reference_task_ids), ['t1', 't2'], 'referred tasks')


@scenario()
async def push_notification_configs_live_their_life(target: Target):
    task = await finished_task(target)
    wanted = pb.TaskPushNotificationConfig(
        task_id=task.id,
        id='mine',
        url='https://hooks.example/a?b=c',
        token='t0ken',
        authentication=pb.AuthenticationInfo(scheme='Bearer', credentials='c'),
    )
    async with target.client() as client:
        made = await client.create_task_push_notification_config(copy_of(wanted))
        expect(plain(made), plain(wanted), 'created')
        other = pb.TaskPushNotificationConfig(task_id=task.id, id='other', url='https://hooks.example/o')
        await client.create_task_push_notification_config(other)
        one = pb.GetTaskPushNotificationConfigRequest(task_id=task.id, id='mine')
        expect(plain(await client.get_task_push_notification_config(one)), plain(wanted), 'got')
        every = pb.ListTaskPushNotificationConfigsRequest(task_id=task.id)
        listed = await client.list_task_push_notification_configs(every)
        expect({config.id for config in listed.configs}, {'mine', 'other'}, 'listed')
        gone = pb.DeleteTaskPushNotificationConfigRequest(task_id=task.id, id='mine')
        expect(await client.delete_task_push_notification_config(gone), None, 'deleted')
        listed = await client.list_task_push_notification_configs(every)
        expect([config.id for config in listed.configs], ['other'], 'left')
        async with raises(errors.TaskNotFoundError):
            await client.get_task_push_notification_config(one)


def copy_of(config):
    """The SDK's tenant decorator writes into the request it is given."""
    copied = type(config)()
    copied.CopyFrom(config)
    return copied


def plain(config) -> dict:
    """A config without the tenant, which routes and is not part of it."""
    return {key: value for key, value in MessageToDict(config).items() if key != 'tenant'}


@scenario()
async def a_config_sent_with_a_message_is_kept(target: Target):
    request = user('input')
    request.configuration.task_push_notification_config.CopyFrom(
        pb.TaskPushNotificationConfig(id='inline', url='https://hooks.example/inline')
    )
    async with target.client(streaming=False) as client:
        task = (await ask(client, request)).task
        every = pb.ListTaskPushNotificationConfigsRequest(task_id=task.id)
        listed = await client.list_task_push_notification_configs(every)
        await client.cancel_task(pb.CancelTaskRequest(id=task.id))
    expect([(config.id, config.url) for config in listed.configs], [('inline', 'https://hooks.example/inline')], 'kept')


@scenario()
async def the_extended_card_has_more_skills(target: Target):
    async with target.client() as client:
        card = await client.get_extended_agent_card(pb.GetExtendedAgentCardRequest())
        expect([skill.id for skill in card.skills], ['obey', 'secret'], 'skills')
        expect((card.name, card.version), ('peer', '1.2.3'), 'name and version')
        # The SDK goes on with this card; the client must still work.
        reply = await still_works(client)
    expect(reply, 'still here', 'a call after it')
    if target.binding in HTTP:
        urls = {face.url for face in card.supported_interfaces if face.protocol_binding != 'GRPC'}
        expect_that(all(url.rstrip('/').startswith(target.base) for url in urls), f'in reach of the caller: {urls}')


async def still_works(client) -> str:
    """One call, streaming or not as the card allows."""
    return (await collect(client, user('echo still here')))[0].message.parts[0].text


@scenario(meshed_only=True)
async def forged_identity_headers_never_reach_the_agent(target: Target):
    forged = beside(x_dragoman_peer='spiffe://evil.example/x', x_forwarded_client_cert='By=evil')
    async with target.client(streaming=False) as client:
        seen = answer_of(await ask(client, user('headers'), forged))['headers']
    expect_that('evil' not in str(seen), f'forged headers are stripped: {seen}')

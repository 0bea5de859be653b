"""Python's gRPC, over mutual TLS, straight into the inbound port of the agent's sidecar: no sidecar at the caller.

Every scenario of the SDK's gRPC transport runs here too; those below look at what the SDK hides.
"""

from pathlib import Path

import grpc
from a2a.types import a2a_pb2 as pb
from a2a.types.a2a_pb2_grpc import A2AServiceStub
from a2a.utils.grpc_status import status_from_call
from google.rpc import error_details_pb2

from harness import GRPC, MTLS, Target, card_by_hand, expect, expect_that, scenario, user
from mesh import DOMAIN, NAMESPACE, Mesh
from words import PEER

PEER_HOST = f'{PEER}.{NAMESPACE}.svc.cluster.local'
METADATA = (('a2a-version', '1.0'),)
LIMIT = 64 << 20  # bytes; gRPC's own limit of 4 MiB is for replies only, and too small for files


def channel_factory(identity: Path | None, roots: Path, name: str = PEER_HOST):
    """Makes channels that show this identity (or none), trust these roots and expect that name."""
    key, chain = ((identity / f).read_bytes() if identity else None for f in ('tls.key', 'tls.crt'))
    credentials = grpc.ssl_channel_credentials(roots.read_bytes(), key, chain)
    options = [('grpc.ssl_target_name_override', name), ('grpc.max_receive_message_length', LIMIT)]
    return lambda address: grpc.aio.secure_channel(address, credentials, options)


def target(mesh: Mesh, control: str) -> Target:
    """The agent's sidecar as a gRPC caller with an identity of its own sees it."""
    identity = mesh.work / 'grpc'
    if not identity.exists():
        mesh.issue('grpc', f'spiffe://{DOMAIN}/ns/{NAMESPACE}/sa/grpc-caller')
    card = card_by_hand(pb.AgentInterface(url=mesh.inbound, protocol_binding='GRPC', protocol_version='1.0'))
    factory = channel_factory(identity, identity / 'ca.crt')
    return Target(f'https://{mesh.inbound}', control, MTLS, card, factory, {'mesh': mesh, 'address': mesh.inbound})


async def address(target: Target) -> str:
    """Where to open a channel: the inbound port, or the GRPC interface of the card."""
    if 'address' not in target.extra:
        async with target.client() as client:
            faces = client._card.supported_interfaces  # the SDK has no other way to ask
            target.extra['address'] = next(face.url for face in faces if face.protocol_binding == 'GRPC')
            target.extra['tenant'] = next(face.tenant for face in faces if face.protocol_binding == 'GRPC')
    return target.extra['address']


async def refusal(awaitable) -> tuple[grpc.StatusCode, dict[str, error_details_pb2.ErrorInfo], grpc.aio.AioRpcError]:
    """The status of a call that must fail, its ErrorInfo details by reason, and the error itself."""
    try:
        await awaitable
    except grpc.aio.AioRpcError as error:
        infos = {}
        status = status_from_call(error)
        for detail in status.details if status else ():
            if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                info = error_details_pb2.ErrorInfo()
                detail.Unpack(info)
                infos[info.reason] = info
        return error.code(), infos, error
    raise AssertionError('wanted an error, got an answer')


@scenario((GRPC, MTLS))
async def plain_stubs_send_stream_get_list_and_cancel(target: Target):
    async with target.channel(await address(target)) as channel:
        stub, tenant = A2AServiceStub(channel), target.extra.get('tenant', '')

        def to(request):
            request.tenant = tenant
            return request

        sent = await stub.SendMessage(to(user('task by stub')), metadata=METADATA)
        expect(sent.task.status.state, pb.TASK_STATE_COMPLETED, 'state')
        stream = stub.SendStreamingMessage(to(user('stream 3')), metadata=METADATA)
        kinds = [event.WhichOneof('payload') async for event in stream]
        expect(kinds.count('artifact_update'), 3, 'chunks')
        expect(await stream.code(), grpc.StatusCode.OK, 'status of the stream')
        got = await stub.GetTask(to(pb.GetTaskRequest(id=sent.task.id)), metadata=METADATA)
        expect(got.artifacts[0].parts[0].text, 'by stub', 'artifact')
        listed = await stub.ListTasks(to(pb.ListTasksRequest(context_id=sent.task.context_id)), metadata=METADATA)
        expect([task.id for task in listed.tasks], [sent.task.id], 'list')
        request = user('slow')
        request.configuration.return_immediately = True
        slow = await stub.SendMessage(to(request), metadata=METADATA)
        canceled = await stub.CancelTask(to(pb.CancelTaskRequest(id=slow.task.id)), metadata=METADATA)
        expect(canceled.status.state, pb.TASK_STATE_CANCELED, 'state')


@scenario((GRPC, MTLS))
async def errors_carry_their_status_and_reason(target: Target):
    codes, tenant = grpc.StatusCode, target.extra.get('tenant', '')
    async with target.channel(await address(target)) as channel:
        stub, tenant = A2AServiceStub(channel), target.extra.get('tenant', '')
        for code, status, reason in (
            (-32001, codes.NOT_FOUND, 'TASK_NOT_FOUND'),
            (-32002, codes.FAILED_PRECONDITION, 'TASK_NOT_CANCELABLE'),
            (-32003, codes.FAILED_PRECONDITION, 'PUSH_NOTIFICATION_NOT_SUPPORTED'),
            (-32004, codes.FAILED_PRECONDITION, 'UNSUPPORTED_OPERATION'),
            (-32005, codes.INVALID_ARGUMENT, 'CONTENT_TYPE_NOT_SUPPORTED'),
            (-32006, codes.INTERNAL, 'INVALID_AGENT_RESPONSE'),
            (-32007, codes.FAILED_PRECONDITION, 'EXTENDED_AGENT_CARD_NOT_CONFIGURED'),
            (-32008, codes.FAILED_PRECONDITION, 'EXTENSION_SUPPORT_REQUIRED'),
            (-32009, codes.FAILED_PRECONDITION, 'VERSION_NOT_SUPPORTED'),
            (-32602, codes.INVALID_ARGUMENT, 'INVALID_PARAMS'),
        ):
            request = user(f'error {code}')
            request.tenant = tenant
            found, infos, error = await refusal(stub.SendMessage(request, metadata=METADATA))
            expect(found, status, f'status of {code}')
            expect_that(reason in infos, f'{code} has the reason {reason}: {list(infos)}')
            expect(infos[reason].domain, 'a2a-protocol.org', 'domain')
            expect(error.details(), f'asked for {code}', 'message')


@scenario((MTLS,))
async def an_error_amid_a_grpc_stream_comes_as_its_status(target: Target):
    async with target.channel(target.extra['address']) as channel:
        stream = A2AServiceStub(channel).SendStreamingMessage(user('break -32006'), metadata=METADATA)
        seen = []

        async def read():
            async for event in stream:
                seen.append(event.WhichOneof('payload'))

        code, infos, _ = await refusal(read())
    expect(seen, ['task', 'status_update', 'artifact_update'], 'events before it')
    expect(code, grpc.StatusCode.INTERNAL, 'status')
    expect_that('INVALID_AGENT_RESPONSE' in infos, f'the reason is INVALID_AGENT_RESPONSE: {list(infos)}')


@scenario((MTLS,))
async def an_unlisted_code_is_named_in_the_details(target: Target):
    async with target.channel(target.extra['address']) as channel:
        _, infos, error = await refusal(A2AServiceStub(channel).SendMessage(user('fault unlisted'), metadata=METADATA))
    expect_that('JSONRPC_ERROR' in infos, f'the reason is JSONRPC_ERROR: {list(infos)}')
    info = infos['JSONRPC_ERROR']
    expect((info.domain, info.metadata.get('code')), ('dragoman.dev', '-32050'), 'domain and code')
    expect_that('out of tea' in error.details(), f'message: {error.details()}')


@scenario((MTLS,))
async def a_call_without_what_it_needs_names_the_field(target: Target):
    async with target.channel(target.extra['address']) as channel:
        request = pb.SendMessageRequest(message=pb.Message(role=pb.ROLE_USER))
        code, infos, error = await refusal(A2AServiceStub(channel).SendMessage(request, metadata=METADATA))
    expect(code, grpc.StatusCode.INVALID_ARGUMENT, 'status')
    violations = []
    for detail in status_from_call(error).details:
        if detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest()
            detail.Unpack(bad)
            violations += [violation.field for violation in bad.field_violations]
    expect_that(any('message' in field for field in violations), f'a field is named: {violations}, {error.details()}')


@scenario((MTLS,))
async def a_caller_without_a_certificate_is_refused(target: Target):
    mesh = target.extra['mesh']
    await is_refused(channel_factory(None, mesh.work / 'ca' / 'ca.crt'), mesh)


@scenario((MTLS,))
async def a_caller_of_a_strange_authority_is_refused(target: Target):
    mesh = target.extra['mesh']
    if not (mesh.work / 'stranger').exists():
        strange = mesh.authority(DOMAIN, 'strange-ca')
        mesh.issue('stranger', f'spiffe://{DOMAIN}/ns/{NAMESPACE}/sa/caller', authority=strange)
        west = mesh.authority('west.example', 'west-ca')
        mesh.issue('westerner', f'spiffe://west.example/ns/{NAMESPACE}/sa/caller', authority=west)
    for name in ('stranger', 'westerner'):
        await is_refused(channel_factory(mesh.work / name, mesh.work / 'ca' / 'ca.crt'), mesh)


async def is_refused(factory, mesh: Mesh) -> None:
    """No call gets through such a channel."""
    async with factory(mesh.inbound) as channel:
        call = A2AServiceStub(channel).SendMessage(user('echo hi'), metadata=METADATA, timeout=5)
        code, _, error = await refusal(call)
    expect(code, grpc.StatusCode.UNAVAILABLE, f'status ({error.details()})')


@scenario((MTLS,))
async def the_sidecars_count_what_they_carried(target: Target):
    mesh = target.extra['mesh']
    for which, direction in ((mesh.caller, 'outbound'), (mesh.peer, 'inbound')):
        lines = [line for line in mesh.metrics(which).splitlines() if line.startswith('dragoman_calls_total{')]
        expect_that(any(f'direction="{direction}"' in line for line in lines), f'{direction} calls are counted: {lines}')
        expect_that(any('operation="SendStreamingMessage"' in line for line in lines), f'streams too: {lines}')


@scenario((MTLS,))
async def no_secret_and_no_payload_is_in_the_logs(target: Target):
    """The bindings before this one have sent all of these through both sidecars."""
    mesh = target.extra['mesh']
    said = ('s3cret+/==', 'from-the-store', 'hello over there', 't0ken', 'out of tea', 'PRIVATE KEY')
    for log in mesh.logs.glob('sidecar-*.log'):
        text = log.read_text()
        expect_that(text, f'{log.name} has something in it')
        expect([word for word in said if word in text], [], f'in {log.name}')

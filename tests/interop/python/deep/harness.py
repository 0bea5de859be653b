"""What a scenario is and what it is given: the list of them, a target to call, and the words to state a wish."""

import asyncio
import fnmatch
import traceback
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import grpc
import httpx
from a2a.client import Client, ClientConfig, ClientFactory
from a2a.types import a2a_pb2 as pb

JSONRPC, REST, GRPC, MTLS = 'jsonrpc', 'rest', 'grpc', 'grpc-mtls'
HTTP = (JSONRPC, REST)
ALL = (JSONRPC, REST, GRPC, MTLS)
SERVED = (JSONRPC, GRPC, MTLS)  # by sidecars today: JSON-RPC and gRPC beside the agent, gRPC between pods
BINDING_NAMES = {JSONRPC: 'JSONRPC', REST: 'HTTP+JSON', GRPC: 'GRPC', MTLS: 'GRPC'}
PATIENCE = 30.0  # seconds that one scenario may take


@dataclass(frozen=True)
class Scenario:
    """A named promise; `direct_fails` says why it cannot hold without sidecars, where that is known."""

    name: str
    run: Callable[['Target'], Awaitable[None]]
    bindings: tuple[str, ...]
    direct_fails: str | None
    meshed_only: bool


SCENARIOS: list[Scenario] = []


def scenario(bindings=ALL, *, direct_fails: str | None = None, meshed_only: bool = False):
    """Registers a coroutine function as a scenario for these bindings."""

    def register(run):
        SCENARIOS.append(Scenario(run.__name__, run, bindings, direct_fails, meshed_only))
        return run

    return register


def chosen(binding: str, pattern: str) -> list[Scenario]:
    """The scenarios of a binding whose `binding/name` matches the shell pattern."""
    return [s for s in SCENARIOS if binding in s.bindings and fnmatch.fnmatch(f'{binding}/{s.name}', pattern)]


@dataclass
class Target:
    """One way to reach the agent: where its card is, the binding to speak, and its own address to look at it."""

    base: str
    control: str
    binding: str
    card: pb.AgentCard | None = None  # given where no card can be fetched
    channel: Callable[[str], grpc.aio.Channel] = grpc.aio.insecure_channel
    extra: dict = field(default_factory=dict)

    @asynccontextmanager
    async def client(self, *, http=None, interceptors=None, **config) -> AsyncIterator[Client]:
        """A client as a user would make it: the card is resolved from the base URL, the rest is the SDK's default."""
        name = BINDING_NAMES[self.binding]
        settings = ClientConfig(
            httpx_client=http, supported_protocol_bindings=[name], grpc_channel_factory=self.channel, **config
        )
        factory = ClientFactory(settings)
        if self.card is not None:
            made = factory.create(self.card, interceptors)
        else:
            made = await factory.create_from_url(self.base, interceptors)
        async with made as client:
            yield client


def card_by_hand(*faces: pb.AgentInterface) -> pb.AgentCard:
    """What a client must know of the agent when it fetches no card."""
    bearer = pb.SecurityScheme(http_auth_security_scheme=pb.HTTPAuthSecurityScheme(scheme='Bearer'))
    return pb.AgentCard(
        name='peer',
        supported_interfaces=faces,
        capabilities=pb.AgentCapabilities(streaming=True, push_notifications=True, extended_agent_card=True),
        security_schemes={'token': bearer},
        security_requirements=[pb.SecurityRequirement(schemes={'token': pb.StringList()})],
    )


def user(text: str, *parts: pb.Part, **fields) -> pb.SendMessageRequest:
    """A request to send `text`, with more parts behind it."""
    message = pb.Message(
        message_id=str(uuid.uuid4()), role=pb.ROLE_USER, parts=[pb.Part(text=text), *parts], **fields
    )
    return pb.SendMessageRequest(message=message)


def fresh(word: str) -> str:
    """A name that no other scenario uses."""
    return f'{word}-{uuid.uuid4().hex}'


async def collect(client: Client, request, context=None) -> list[pb.StreamResponse]:
    """Everything that a send answers, in order."""
    async with aclosing(client.send_message(request, context=context)) as replies:
        return [reply async for reply in replies]


async def ask(client: Client, request, context=None) -> pb.StreamResponse:
    """The one thing that a send answers."""
    replies = await collect(client, request, context)
    expect(len(replies), 1, 'number of replies')
    return replies[0]


async def open_calls(target: Target) -> list[str]:
    """The texts of the calls that are open at the agent's HTTP door right now."""
    async with httpx.AsyncClient() as http:
        return (await http.get(f'{target.control}/test/open')).json()


async def eventually(what: str, check, seconds: float = 5.0) -> None:
    """Waits until `check` holds; it is polled, because the other side is another process."""
    for _ in range(int(seconds / 0.05)):
        if await check():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f'{what}: not within {seconds} s')


def expect(actual, wanted, what: str) -> None:
    """Fails with the first place where the two differ."""
    if actual != wanted:
        place, want, got = difference(wanted, actual)
        raise AssertionError(f'{what}{place}: wanted {brief(want)}, got {brief(got)}')


def difference(wanted, actual, place: str = '') -> tuple[str, object, object]:
    """The path to the first difference of two trees, and what is there in each."""
    if isinstance(wanted, dict) and isinstance(actual, dict) and wanted.keys() == actual.keys():
        key = next(key for key in wanted if wanted[key] != actual[key])
        return difference(wanted[key], actual[key], f'{place}.{key}')
    if isinstance(wanted, list) and isinstance(actual, list) and len(wanted) == len(actual):
        index = next(index for index in range(len(wanted)) if wanted[index] != actual[index])
        return difference(wanted[index], actual[index], f'{place}[{index}]')
    return place, wanted, actual


def expect_that(holds, what: str) -> None:
    """Fails with a sentence."""
    if not holds:
        raise AssertionError(what)


class raises:
    """`async with raises(kind) as caught`: the block must end in that very kind of error."""

    def __init__(self, kind: type[BaseException]):
        self._kind = kind
        self.error: BaseException | None = None

    async def __aenter__(self) -> 'raises':
        return self

    async def __aexit__(self, kind, error, trace) -> bool:
        if error is None:
            raise AssertionError(f'wanted {self._kind.__name__}, got an answer')
        if type(error) is not self._kind:
            raise AssertionError(f'wanted {self._kind.__name__}, got {error!r}') from error
        self.error = error
        return True


async def verdict(one: Scenario, target: Target) -> str | None:
    """Runs a scenario; None when it held, else why not in one line."""
    try:
        async with asyncio.timeout(PATIENCE):
            await one.run(target)
    except TimeoutError:
        return f'not finished after {PATIENCE} s'
    except Exception as error:  # the reason is the result
        places = traceback.extract_tb(error.__traceback__)
        own = [place for place in places if 'site-packages' not in place.filename and place.name != 'verdict']
        helpers = ('expect', 'expect_that', '__aexit__')
        last = next((place for place in reversed(own) if place.name not in helpers), None)
        where = f' (line {last.lineno} of {last.name})' if last else ''
        return brief(f'{type(error).__name__}: {error}{where}')
    return None


def brief(value) -> str:
    """One line, not too long."""
    text = ' '.join((value if isinstance(value, str) else repr(value)).split())
    return text if len(text) <= 400 else f'{text[:400]}…'

"""The agent's front door: an ASGI wrapper that plays what the SDK's server cannot be told to do.

It answers with bare HTTP statuses, exact JSON texts and cut connections, keeps bodies as they came, counts the calls
that are open and says which extensions are active.
"""

import itertools
import json

from words import EXTENSION, FAULTS, WIRE_REPLY


class Cut(Exception):
    """Raised into the server to make it drop the connection in the middle of a reply."""


class Door:
    """Stands before the SDK's application."""

    def __init__(self, app):
        self._app = app
        self._numbers = itertools.count()
        self.bodies = {}
        self.open = {}

    async def __call__(self, scope, receive, send):
        if scope['type'] != 'http' or scope['method'] != 'POST':
            return await self._app(scope, receive, send)
        body = await read(receive)
        headers = {name.decode('latin-1'): value.decode('latin-1') for name, value in scope['headers']}
        request, text = understand(body)
        number = next(self._numbers)
        self.open[number] = text
        try:
            if not await self._play(request, text, body, headers, send):
                send = with_extensions(send, headers.get('a2a-extensions', ''))
                send = cutting(send) if text == 'cut' else send
                await self._app(scope, replay(body, receive), send)
        finally:
            del self.open[number]

    async def _play(self, request, text, body, headers, send) -> bool:
        """Answers in place of the SDK where the text says so."""
        word, _, rest = text.partition(' ')
        if word == 'auth' and 'authorization' not in headers:
            challenge = [(b'www-authenticate', b'Bearer realm="peer", error="invalid_token"')]
            await answer(send, 401, b'who are you?', b'text/plain', challenge)
        elif word == 'http':
            await answer(send, int(rest), b'not now', b'text/plain', [(b'retry-after', b'7')])
        elif word == 'fault':
            await answer(send, 200, envelope(request, 'error', FAULTS[rest]))
        elif word == 'wire':
            self.bodies[rest] = body
            await answer(send, 200, envelope(request, 'result', WIRE_REPLY))
        else:
            return False
        return True


def understand(body: bytes):
    """The request and the text of its message's first part, whichever HTTP binding it came in."""
    try:
        request = json.loads(body)
        params = request.get('params', request)
        return request, params['message']['parts'][0]['text']
    except (ValueError, LookupError, AttributeError, TypeError):
        return None, ''


def envelope(request, member: str, text: str) -> bytes:
    """A JSON-RPC response whose result or error is exactly `text`."""
    return f'{{"jsonrpc":"2.0","id":{json.dumps(request["id"])},"{member}":{text}}}'.encode()


async def read(receive) -> bytes:
    """The whole body of a request."""
    body, more = b'', True
    while more:
        message = await receive()
        body += message.get('body', b'')
        more = message.get('more_body', False)
    return body


def replay(body: bytes, receive):
    """A `receive` that gives the body once and then whatever really comes (the caller leaving)."""
    pending = [{'type': 'http.request', 'body': body, 'more_body': False}]

    async def again():
        return pending.pop() if pending else await receive()

    return again


def with_extensions(send, asked: str):
    """Adds the header that names the extensions in use, which the SDK's server leaves to the application."""

    async def add(message):
        if message['type'] == 'http.response.start' and EXTENSION in asked:
            message = {**message, 'headers': [*message['headers'], (b'a2a-extensions', EXTENSION.encode())]}
        await send(message)

    return add


def cutting(send):
    """Lets one piece of the body through and then breaks the connection."""
    pieces = 0

    async def cut(message):
        nonlocal pieces
        if message['type'] == 'http.response.body':
            pieces += 1
            if pieces > 1:
                raise Cut
        await send(message)

    return cut


async def answer(send, status: int, body: bytes, kind: bytes = b'application/json', more=()):
    """One whole HTTP reply."""
    headers = [(b'content-type', kind), (b'content-length', str(len(body)).encode()), *more]
    await send({'type': 'http.response.start', 'status': status, 'headers': headers})
    await send({'type': 'http.response.body', 'body': body})

"""Keeps what agents really say: a small TCP proxy between the sidecar and an agent.

The bytes are passed on as they come. When a connection has ended, its HTTP/1.1 exchanges are taken apart and the first of
each kind is kept as a JSON file, for use as golden input. Cards are kept too; gRPC is not looked into.
"""

import json
import re
import socket
import threading
from pathlib import Path

ID = re.compile(r'(?<=/tasks/)[^/:?]+|(?<=/pushNotificationConfigs/)[^/:?]+')


class Recorder:
    """Listens on a free port and passes everything on to one agent."""

    def __init__(self, lane: str, upstream: str, directory: Path):
        host, _, port = upstream.rpartition(':')
        self._upstream = (host, int(port))
        self._directory = directory / lane
        self._lock, self._kept = threading.Lock(), set()
        self._listener = socket.create_server(('127.0.0.1', 0))
        self.address = f'127.0.0.1:{self._listener.getsockname()[1]}'
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        """Takes no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:  # the listener is closed
                return
            threading.Thread(target=self._carry, args=(caller,), daemon=True).start()

    def _carry(self, caller: socket.socket) -> None:
        try:
            agent = socket.create_connection(self._upstream)
        except OSError:
            caller.close()
            return
        asked, said = bytearray(), bytearray()
        back = threading.Thread(target=pump, args=(agent, caller, said), daemon=True)
        back.start()
        pump(caller, agent, asked)
        back.join()
        caller.close()
        agent.close()
        for request, response in zip(messages(bytes(asked)), messages(bytes(said)), strict=False):
            self._keep(request, response)

    def _keep(self, request: tuple, response: tuple) -> None:
        """Writes an exchange if it is the first of its kind."""
        method, path, *_ = request[0].split(' ')
        body, status = parsed(request[2]), int(response[0].split(' ')[1])
        events = 'text/event-stream' in response[1].get('content-type', '')
        answer = stream_of(response[2]) if events else parsed(response[2])
        kind = name_of(method, path, body) + fault_of(status, answer)
        with self._lock:
            if kind in self._kept:
                return
            self._kept.add(kind)
        exchange = {
            'request': {'method': method, 'path': path, 'body': body},
            'response': {
                'status': status,
                'type': response[1].get('content-type', ''),
                'events' if events else 'body': answer,
            },
        }
        self._directory.mkdir(parents=True, exist_ok=True)
        text = json.dumps(exchange, indent=2, ensure_ascii=False)
        (self._directory / f'{kind}.json').write_text(text + '\n')


def pump(source: socket.socket, sink: socket.socket, copy: bytearray) -> None:
    """Passes bytes on until there are no more."""
    try:
        while piece := source.recv(65536):
            copy += piece
            sink.sendall(piece)
    except OSError:
        pass  # one of them has gone; the other is told below
    for end, how in ((sink, socket.SHUT_WR), (source, socket.SHUT_RD)):
        try:
            end.shutdown(how)
        except OSError:
            pass


def name_of(method: str, path: str, body) -> str:
    """A name for a kind of exchange: the operation, and what the message asked for."""
    if isinstance(body, dict) and 'method' in body:
        name, params = body['method'], body.get('params') or {}
    else:
        bare = ID.sub('ID', path.partition('?')[0]).strip('/')
        name, params = f'{method} {bare}', body if isinstance(body, dict) else {}
    message = params.get('message') or params.get('request') or {}
    parts = message.get('parts') or message.get('content') or [{}]
    word = str(parts[0].get('text', '')).split()
    return re.sub(r'[^\w-]+', '-', ' '.join([name, *word[:1]])).strip('-')


def fault_of(status: int, answer) -> str:
    """What tells an answer that is an error from others of its kind: the JSON-RPC code or the HTTP status."""
    last = answer[-1] if isinstance(answer, list) and answer else answer
    error = last.get('error') if isinstance(last, dict) else None
    if isinstance(error, dict) and 'code' in error:
        return f'{error["code"]}' if str(error['code']).startswith('-') else f'-{error["code"]}'
    return f'-{status}' if status >= 400 else ''


def messages(data: bytes):
    """The HTTP/1.1 messages in what one side sent: first line, headers, body; a cut one at the end is left out."""
    while data:
        head, found, data = data.partition(b'\r\n\r\n')
        if not found:
            return
        first, *lines = head.decode('latin-1').split('\r\n')
        headers = {}
        for line in lines:
            name, _, value = line.partition(':')
            headers[name.strip().lower()] = value.strip()
        if 'chunked' in headers.get('transfer-encoding', ''):
            body, data = chunks(data)
        elif 'content-length' in headers:
            size = int(headers['content-length'])
            body, data = data[:size], data[size:]
        elif first.startswith('HTTP/') and not re.match(r'HTTP/1\.. (1..|204|304)', first):
            body, data = data, b''
        else:
            body = b''
        if not re.match(r'HTTP/1\.. 1', first):
            yield first, headers, body


def chunks(data: bytes) -> tuple[bytes, bytes]:
    """A chunked body, as far as it came, and what is behind it."""
    body = b''
    while True:
        size, found, rest = data.partition(b'\r\n')
        if not found:
            return body, b''
        length = int(size.split(b';')[0], 16)
        if length == 0:
            return body, rest.partition(b'\r\n')[2]
        body, data = body + rest[:length], rest[length + 2 :]


def parsed(body: bytes):
    """JSON if it is, else text."""
    try:
        return json.loads(body) if body else None
    except ValueError:
        return body.decode('utf-8', 'replace')


def stream_of(body: bytes) -> list:
    """The data of each server-sent event."""
    events = re.split(r'\r?\n\r?\n', body.decode('utf-8', 'replace'))
    found = []
    for event in events:
        lines = [line[5:].removeprefix(' ') for line in event.splitlines() if line.startswith('data:')]
        if lines:
            found.append(parsed('\n'.join(lines).encode()))
    return found

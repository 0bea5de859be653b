"""The API server: requests over HTTPS with a client certificate, and a picture of a kind of object that follows it."""

import http.client
import json
import logging
import re
import ssl
import threading
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

Object = dict[str, Any]
MERGE = 'application/merge-patch+json'
WATCH = 240  # seconds that one watch lasts

log = logging.getLogger('api')


class ApiError(Exception):
    """The API server said no."""

    def __init__(self, status: int, message: str):
        super().__init__(f'{status}: {message}')
        self.status = status


class Api:
    """A client for the control plane whose directory `apiserver up` made; any thread may use it."""

    def __init__(self, control: Path):
        said = (control / 'admin.kubeconfig').read_text()
        if (found := re.search(r'server: "([^"]+)"', said)) is None:
            raise ValueError(f'{control}/admin.kubeconfig names no server')
        self.url = found[1]
        self._host = urllib.parse.urlsplit(self.url).netloc
        self._tls = ssl.create_default_context(cafile=control / 'pki/ca.crt')
        self._tls.load_cert_chain(control / 'pki/admin.crt', control / 'pki/admin.key')

    def _ask(self, method: str, path: str, body: Object | None, kind: str, seconds: float):
        connection = http.client.HTTPSConnection(self._host, context=self._tls, timeout=seconds)
        payload = None if body is None else json.dumps(body)
        connection.request(method, path, payload, {'content-type': kind, 'accept': 'application/json'})
        answer = connection.getresponse()
        if answer.status >= 300:
            text = answer.read().decode(errors='replace')
            connection.close()
            raise ApiError(answer.status, message(text))
        return connection, answer

    def request(self, method: str, path: str, body: Object | None = None, kind: str = 'application/json') -> Object:
        """One request and its answer; raises ApiError, or OSError if nobody answers."""
        connection, answer = self._ask(method, path, body, kind, 20)
        try:
            return json.loads(answer.read())
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()

    def get(self, path: str) -> Object:
        """The object, or the list, at a path."""
        return self.request('GET', path)

    def post(self, path: str, body: Object) -> Object:
        """Makes an object in a collection."""
        return self.request('POST', path, body)

    def patch(self, path: str, body: Object) -> Object:
        """Merges into an object (RFC 7396)."""
        return self.request('PATCH', path, body, MERGE)

    def delete(self, path: str, options: Object) -> Object:
        """Removes an object."""
        return self.request('DELETE', path, options)

    def events(self, path: str, version: str):
        """The changes of a collection since a version, until the watch ends."""
        query = f'?watch=1&allowWatchBookmarks=true&timeoutSeconds={WATCH}&resourceVersion={version}'
        connection, answer = self._ask('GET', path + query, None, 'application/json', WATCH + 30)
        try:
            while line := answer.readline():
                yield json.loads(line)
        finally:
            connection.close()


def message(text: str) -> str:
    """What a refusal says: the message of a Status, else the text itself."""
    try:
        return json.loads(text)['message']
    except (ValueError, KeyError, TypeError):
        return text.strip()


Key = tuple[str, str]  # namespace, name


def key(thing: Object) -> Key:
    """What tells objects of one kind apart."""
    return thing['metadata'].get('namespace', ''), thing['metadata']['name']


class Follower(threading.Thread):
    """Follows a collection: `get` and `all` answer from memory; `changed` is called with every object that is new or
    different and with what is gone, on this thread."""

    def __init__(self, api: Api, path: str, changed: Callable[[Object, bool], None] = lambda thing, gone: None):
        super().__init__(daemon=True, name=f'follow {path}')
        self._api, self._path, self._changed = api, path, changed
        self._things: dict[Key, Object] = {}
        self._lock = threading.Lock()
        self.filled = threading.Event()

    def get(self, namespace: str, name: str) -> Object | None:
        """One object, if it is there."""
        with self._lock:
            return self._things.get((namespace, name))

    def all(self) -> list[Object]:
        """All objects."""
        with self._lock:
            return list(self._things.values())

    def run(self) -> None:
        """Lists and watches, for ever."""
        while True:
            try:
                self._follow()
            except (ApiError, OSError, ValueError, http.client.HTTPException) as error:
                log.warning('%s: %s', self._path, error)
                threading.Event().wait(1)

    def _follow(self) -> None:
        listed = self._api.get(self._path)
        now = {key(thing): thing for thing in listed['items']}
        for old in self.all():
            if key(old) not in now:
                self._take(old, gone=True)
        for thing in now.values():
            self._take(thing, gone=False)
        self.filled.set()
        version = listed['metadata']['resourceVersion']
        while True:
            for event in self._api.events(self._path, version):
                thing = event['object']
                if event['type'] == 'ERROR':
                    return  # too old a version: list again
                version = thing['metadata']['resourceVersion']
                if event['type'] != 'BOOKMARK':
                    self._take(thing, gone=event['type'] == 'DELETED')

    def _take(self, thing: Object, gone: bool) -> None:
        with self._lock:
            known = self._things.get(key(thing))
            if gone:
                self._things.pop(key(thing), None)
            else:
                self._things[key(thing)] = thing
        same = known is not None and known['metadata']['resourceVersion'] == thing['metadata']['resourceVersion']
        if gone or not same:
            self._changed(thing, gone)

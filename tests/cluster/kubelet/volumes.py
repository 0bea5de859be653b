"""The volumes of a pod: what is in them, and that it stays what the API server says."""

import base64
import contextlib
import datetime
import logging
import random
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubelet import fields
from kubelet.api import Api, ApiError, Follower
from kubelet.atomic import AtomicDirectory, File
from kubelet.fields import Unsupported

Object = dict[str, Any]
SIZES = {'Ki': 2**10, 'Mi': 2**20, 'Gi': 2**30, 'k': 10**3, 'M': 10**6, 'G': 10**9, '': 1}


log = logging.getLogger('volumes')


class NotYet(Exception):
    """A volume cannot be made, because what it shows is not there."""


class Objects:
    """ConfigMaps and Secrets, by kind and name."""

    def __init__(self, api: Api):
        self._followers = {
            'configMap': Follower(api, '/api/v1/configmaps'),
            'secret': Follower(api, '/api/v1/secrets'),
        }

    def start(self) -> None:
        """Begins to follow, and returns when all is known."""
        for follower in self._followers.values():
            follower.start()
        for follower in self._followers.values():
            follower.filled.wait()

    def __call__(self, kind: str, namespace: str, reference: Object) -> dict[str, bytes]:
        """The data of one of them: `reference` has its `name` and perhaps `optional`. Raises NotYet."""
        found = self._followers[kind].get(namespace, reference['name'])
        if found is None:
            if reference.get('optional'):
                return {}
            raise NotYet(f'{kind.lower()} "{reference["name"]}" not found')
        if kind == 'secret':
            return {name: base64.b64decode(value) for name, value in found.get('data', {}).items()}
        data = {name: value.encode() for name, value in found.get('data', {}).items()}
        return data | {name: base64.b64decode(value) for name, value in found.get('binaryData', {}).items()}


@dataclass
class Token:
    """A token, and when the kubelet asks for the next."""

    text: str
    refresh: float


class Tokens:
    """The service account tokens of one pod, bound to it and asked for again before they end."""

    def __init__(self, api: Api, pod: Object, share: float):
        """`share` is the part of its life after which a token is replaced; a kubelet has 0.8."""
        self._api, self._pod, self._share = api, pod, share
        self._tokens: dict[tuple[str, int], Token] = {}

    def get(self, audience: str, seconds: int) -> str:
        """A token for an audience that is good for a while."""
        known = self._tokens.get((audience, seconds))
        if known is None or known.refresh <= time.time():
            try:
                known = self._tokens[audience, seconds] = self._ask(audience, seconds)
            except (ApiError, OSError) as error:
                if known is None:
                    raise
                log.warning('%s: another token: %s', self._pod['metadata']['name'], error)
                known.refresh = time.time() + 1  # the former one is good for a while
        return known.text

    def _ask(self, audience: str, seconds: int) -> Token:
        metadata = self._pod['metadata']
        account = self._pod['spec'].get('serviceAccountName', 'default')
        reference = {'kind': 'Pod', 'apiVersion': 'v1', 'name': metadata['name'], 'uid': metadata['uid']}
        spec = {'expirationSeconds': seconds, 'boundObjectRef': reference, 'audiences': [audience] if audience else []}
        answer = self._api.post(
            f'/api/v1/namespaces/{metadata["namespace"]}/serviceaccounts/{account}/token',
            {'apiVersion': 'authentication.k8s.io/v1', 'kind': 'TokenRequest', 'spec': spec},
        )
        end = datetime.datetime.fromisoformat(answer['status']['expirationTimestamp']).timestamp()
        life = min((end - time.time()) * self._share, 86400)
        return Token(answer['status']['token'], time.time() + life - random.uniform(0, min(10, life / 10)))


def common_user(pod: Object) -> int | None:
    """The one user of all containers, if there is one: then only it may read a token."""
    outer = (pod['spec'].get('securityContext') or {}).get('runAsUser')
    users = {
        (container.get('securityContext') or {}).get('runAsUser', outer)
        for container in [*pod['spec'].get('initContainers', []), *pod['spec']['containers']]
    }
    return users.pop() if len(users) == 1 else None


class Volumes:
    """The volumes of one pod, in a directory."""

    def __init__(self, pod: Object, directory: Path, objects: Objects, tokens: Tokens):
        self._pod, self._directory, self._objects, self._tokens = pod, directory, objects, tokens
        self._kept: dict[str, AtomicDirectory] = {}
        self.paths: dict[str, Path] = {}

    @property
    def read_only(self) -> set[str]:
        """The volumes that no container may write into."""
        return set(self._kept)

    def make(self, pod: Object) -> None:
        """Makes what is not there and renews what has changed. Raises NotYet, Unsupported or ApiError."""
        self._pod = pod
        for volume in pod['spec'].get('volumes', []):
            name = volume['name']
            kind = next(kind for kind in volume if kind != 'name')
            path = self._directory / name
            if kind in ('projected', 'configMap', 'secret', 'downwardAPI'):
                self._write(name, path, self._files(kind, volume[kind] or {}))
            elif name not in self.paths:
                self._make_plain(kind, volume[kind] or {}, path)
            self.paths[name] = path

    def _write(self, name: str, path: Path, files: dict[str, File]) -> None:
        if name not in self._kept:
            group = (self._pod['spec'].get('securityContext') or {}).get('fsGroup')
            self._kept[name] = AtomicDirectory(path, common_user(self._pod), group)
        self._kept[name].write(files)

    def _make_plain(self, kind: str, said: Object, path: Path) -> None:
        if kind != 'emptyDir':
            raise Unsupported(f'volume {kind}')
        path.mkdir(parents=True)
        if said.get('medium') == 'Memory':
            size = f'size={quantity(said["sizeLimit"])},' if 'sizeLimit' in said else ''
            subprocess.run(['mount', '-t', 'tmpfs', '-o', f'{size}mode=0777', 'tmpfs', path], check=True)
        path.chmod(0o777)
        group = (self._pod['spec'].get('securityContext') or {}).get('fsGroup')
        if group is not None:
            shutil.chown(path, group=group)
            path.chmod(0o2777)

    def _files(self, kind: str, said: Object) -> dict[str, File]:
        default = said.get('defaultMode', 0o644)
        if kind == 'projected':
            files: dict[str, File] = {}
            for source in said.get('sources', []):
                files |= self._projected(source, default)
            return files
        if kind == 'downwardAPI':
            return self._downward(said, default)
        reference = said if kind == 'configMap' else {'name': said['secretName'], 'optional': said.get('optional')}
        return self._chosen(kind, reference, said, default)

    def _projected(self, source: Object, default: int) -> dict[str, File]:
        kind, said = next(iter(source.items()))
        match kind:
            case 'serviceAccountToken':
                token = self._tokens.get(said.get('audience', ''), said.get('expirationSeconds', 3600))
                closed = common_user(self._pod) is not None
                closed = closed or 'fsGroup' in (self._pod['spec'].get('securityContext') or {})
                return {said['path']: File(token.encode(), 0o600 if closed else default)}
            case 'downwardAPI':
                return self._downward(said, default)
            case 'configMap' | 'secret':
                return self._chosen(kind, said, said, default)
        raise Unsupported(f'projected {kind}')

    def _downward(self, said: Object, default: int) -> dict[str, File]:
        files = {}
        for item in said.get('items', []):
            if 'fieldRef' not in item:
                raise Unsupported('resourceFieldRef in a volume')
            text = fields.pod_field(self._pod, item['fieldRef']['fieldPath'])
            files[item['path']] = File(text.encode(), item.get('mode', default))
        return files

    def _chosen(self, kind: str, reference: Object, said: Object, default: int) -> dict[str, File]:
        data = self._objects(kind, self._pod['metadata']['namespace'], reference)
        if 'items' not in said:
            return {name: File(content, default) for name, content in data.items()}
        files = {}
        for item in said['items']:
            if item['key'] in data:
                files[item['path']] = File(data[item['key']], item.get('mode', default))
            elif not reference.get('optional'):
                raise NotYet(f'{kind.lower()} "{reference["name"]}" has no key "{item["key"]}"')
        return files

    def remove(self) -> None:
        """Removes all of them; nobody uses them any more."""
        for volume in self._pod['spec'].get('volumes', []):
            if (volume.get('emptyDir') or {}).get('medium') == 'Memory' and volume['name'] in self.paths:
                subprocess.run(['umount', '--lazy', self.paths[volume['name']]], check=False)
        with contextlib.suppress(OSError):
            shutil.rmtree(self._directory)


def quantity(text: str) -> int:
    """A quantity of bytes, as 1Mi."""
    found = re.fullmatch(r'(\d+)(Ki|Mi|Gi|k|M|G|)', text)
    if found is None:
        raise Unsupported(f'quantity {text}')
    return int(found[1]) * SIZES[found[2]]

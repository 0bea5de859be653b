"""Containers as processes: what one is told (environment, command, user, mounts), its start and its end."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubelet import fields, images
from kubelet.fields import Unsupported

Object = dict[str, Any]
ENTER = Path(__file__).with_name('enter.py')
PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
MESSAGE = 4096  # bytes of a termination message


class Misconfigured(Exception):
    """A container cannot be made as its pod says; `reason` is what its status shows."""

    def __init__(self, reason: str, why: str):
        super().__init__(why)
        self.reason = reason


def environment(container: Object, pod: Object, image: images.Image, objects, services: dict[str, str]) -> dict[str, str]:
    """The environment variables of a container. `objects(kind, namespace, name)` looks ConfigMaps and Secrets up."""
    namespace = pod['metadata']['namespace']
    told = {'PATH': PATH, 'HOSTNAME': pod['metadata']['name']} | services | image.env
    for source in container.get('envFrom', []):
        kind = 'configMap' if 'configMapRef' in source else 'secret'
        data = objects(kind, namespace, source[f'{kind}Ref'])
        told |= {source.get('prefix', '') + name: value.decode() for name, value in data.items()}
    for each in container.get('env', []):
        told[each['name']] = variable(each, pod, objects, told)
    return told


def variable(said: Object, pod: Object, objects, known: dict[str, str]) -> str:
    """The value of one variable."""
    source = said.get('valueFrom')
    if source is None:
        return fields.expand(said.get('value', ''), known)
    if 'fieldRef' in source:
        return fields.pod_field(pod, source['fieldRef']['fieldPath'])
    for kind in ('configMap', 'secret'):
        if f'{kind}KeyRef' in source:
            reference = source[f'{kind}KeyRef']
            data = objects(kind, pod['metadata']['namespace'], reference)
            if reference['key'] in data:
                return data[reference['key']].decode()
            if reference.get('optional'):
                return ''
            raise Misconfigured('CreateContainerConfigError', f'no key {reference["key"]} in {reference["name"]}')
    raise Unsupported(f'valueFrom {", ".join(source)}')


def user(container: Object, pod: Object, image: images.Image) -> Object:
    """Who a container runs as, and what it may."""
    outer, own = pod['spec'].get('securityContext') or {}, container.get('securityContext') or {}
    said = outer | own
    uid = said.get('runAsUser', image.user)
    if said.get('runAsNonRoot') and uid == 0:
        raise Misconfigured(
            'CreateContainerConfigError',
            'container has runAsNonRoot and image will run as root',
        )
    groups = list(outer.get('supplementalGroups', []))
    if 'fsGroup' in outer:
        groups.append(outer['fsGroup'])
    capabilities = own.get('capabilities') or {}
    return {
        'uid': uid,
        'gid': said.get('runAsGroup', 0),
        'groups': groups,
        'drop': capabilities.get('drop', []),
        'add': capabilities.get('add', []),
        'privileged': bool(own.get('privileged')),
        'no_new_privileges': own.get('allowPrivilegeEscalation') is False,
        'read_only': bool(own.get('readOnlyRootFilesystem')),
    }


def argv(container: Object, image: images.Image, env: dict[str, str]) -> list[str]:
    """The command line: `command` replaces the entrypoint and with it the image's command, `args` the command only."""
    entry = container.get('command') or image.entrypoint
    given = container.get('args') or ([] if container.get('command') else image.command)
    line = [fields.expand(word, env) for word in [*entry, *given]]
    if not line:
        raise Misconfigured('CreateContainerError', f'{container["image"]}: no command specified')
    return line


def mounts(container: Object, volumes: dict[str, Path], read_only: set[str]) -> list[Object]:
    """What is mounted where; volumes whose content the kubelet keeps are never writable."""
    made = []
    for mount in container.get('volumeMounts', []):
        source = volumes[mount['name']]
        if sub := mount.get('subPath'):
            source = source / sub
            if not source.exists():
                source.mkdir(parents=True)
        closed = mount.get('readOnly', False) or mount['name'] in read_only
        made.append({'source': str(source), 'target': mount['mountPath'], 'read_only': closed})
    return made


@dataclass(frozen=True)
class Ended:
    """How a container ended."""

    code: int
    signal: int
    message: str


class Process:
    """A container that has been started."""

    def __init__(self, plan: Object, directory: Path, output: Path, quote_log: bool):
        """`plan` is what `enter.py` reads; `quote_log`: the end of the log is the message of a failure without one."""
        directory.mkdir(parents=True, exist_ok=True)
        self.message_file = directory / 'termination-log'
        self.message_file.write_bytes(b'')
        self.message_file.chmod(0o666)
        (directory / 'layer').mkdir(exist_ok=True)
        plan |= {'layer': str(directory / 'layer'), 'termination_log': str(self.message_file)}
        self.plan = directory / 'plan.json'
        self.plan.write_text(json.dumps(plan, indent=1))
        self._output, self._quote_log = output, quote_log
        with output.open('ab') as out:
            self._process = subprocess.Popen(
                [sys.executable, '-I', '-S', str(ENTER), str(self.plan)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                close_fds=True,
            )
        self.pid = self._process.pid
        self.began = time.time()

    def ended(self) -> Ended | None:
        """How it ended, if it has."""
        code = self._process.poll()
        if code is None:
            return None
        self._signal_group(signal.SIGKILL)  # what it started goes with it, as with a cgroup
        number = -code if code < 0 else 0
        return Ended(128 + number if number else code, number, self._message(code))

    def _message(self, code: int) -> str:
        said = self.message_file.read_bytes()[:MESSAGE]
        if not said and code != 0 and self._quote_log:
            said = b'\n'.join(self._output.read_bytes().splitlines()[-80:])[-2048:]
        return said.decode(errors='replace')

    def terminate(self) -> None:
        """Asks it to end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it."""
        self._signal_group(signal.SIGKILL)

    def _signal_group(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def run_inside(self, command: list[str], seconds: float) -> int:
        """Runs a command in the container, as its user; its exit code. Raises TimeoutExpired, or OSError."""
        return subprocess.run(
            [sys.executable, '-I', '-S', str(ENTER), str(self.plan), str(self.pid), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        ).returncode

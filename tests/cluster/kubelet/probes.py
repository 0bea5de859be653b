"""Probes: httpGet from the node, tcpSocket, and exec in the container."""

import http.client
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from typing import Any

from kubelet.containers import Process
from kubelet.fields import Unsupported

Object = dict[str, Any]


def port_number(said: int | str, container: Object) -> int:
    """The number of a port that may be a name."""
    for port in container.get('ports', []):
        if port.get('name') == said:
            return port['containerPort']
    return int(said)


def passes(probe: Object, container: Object, address: str, process: Process) -> bool:
    """Whether the probe succeeds now."""
    seconds = probe.get('timeoutSeconds', 1)
    try:
        if 'httpGet' in probe:
            return _http(probe['httpGet'], container, address, seconds)
        if 'tcpSocket' in probe:
            socket.create_connection((address, port_number(probe['tcpSocket']['port'], container)), seconds).close()
            return True
        return process.run_inside(probe['exec']['command'], seconds) == 0
    except (OSError, http.client.HTTPException, subprocess.TimeoutExpired):
        return False


def _http(said: Object, container: Object, address: str, seconds: float) -> bool:
    host, port = said.get('host', address), port_number(said['port'], container)
    connection: http.client.HTTPConnection
    if said.get('scheme') == 'HTTPS':
        connection = http.client.HTTPSConnection(host, port, timeout=seconds, context=ssl._create_unverified_context())
    else:
        connection = http.client.HTTPConnection(host, port, timeout=seconds)
    headers = {'User-Agent': 'kube-probe/1.37', 'Accept': '*/*'}
    headers |= {each['name']: each['value'] for each in said.get('httpHeaders', [])}
    try:
        connection.request('GET', said.get('path', '/'), headers=headers)
        return 200 <= connection.getresponse().status < 400
    finally:
        connection.close()


class Prober(threading.Thread):
    """One probe of one run of a container: calls `judged` each time that the verdict changes."""

    def __init__(self, probe: Object, container: Object, address: str, process: Process, judged: Callable[[bool], None]):
        super().__init__(daemon=True, name=f'probe {container["name"]}')
        if not {'httpGet', 'tcpSocket', 'exec'} & set(probe):
            raise Unsupported(f'probe {", ".join(probe)}')
        self._probe, self._container, self._address = probe, container, address
        self._process, self._judged = process, judged
        self._over = threading.Event()

    def run(self) -> None:
        """Asks again and again until `stop`."""
        probe, verdict, streak = self._probe, None, 0
        last: bool | None = None
        self._over.wait(probe.get('initialDelaySeconds', 0))
        while not self._over.is_set():
            good = passes(probe, self._container, self._address, self._process)
            streak = streak + 1 if good == last else 1
            last = good
            needed = probe.get('successThreshold', 1) if good else probe.get('failureThreshold', 3)
            if streak >= needed and verdict != good and not self._over.is_set():
                verdict = good
                self._judged(good)
            self._over.wait(probe.get('periodSeconds', 10))

    def stop(self) -> None:
        """Asks no more, and judges nothing that is under way."""
        self._over.set()

"""Services without kube-proxy: the addresses of Services lead to their ready endpoints by rules of nftables.

As kube-proxy does: endpoints that are ready; when none is, those that serve while they end; without any, a refusal. What
a Service answers to a pod that is its own endpoint comes back through the node.
"""

import logging
import subprocess
import threading
from dataclasses import dataclass, field
from typing import Any

from kubelet.api import Api, Follower, Object

TABLE = 'dragoman-cluster'
PAUSE = 0.05  # seconds to wait for more changes before the rules are written

log = logging.getLogger('services')


@dataclass
class Port:
    """A port of a Service address and where it leads."""

    address: str
    protocol: str
    port: int
    ready: set[tuple[str, int]] = field(default_factory=set)
    ending: set[tuple[str, int]] = field(default_factory=set)

    @property
    def backends(self) -> list[tuple[str, int]]:
        """Where calls go now."""
        return sorted(self.ready or self.ending)


def ports(services: list[Object], slices: list[Object]) -> list[Port]:
    """All ports of all Service addresses."""
    by_service: dict[tuple[str, str], list[Object]] = {}
    for each in slices:
        owner = each['metadata'].get('labels', {}).get('kubernetes.io/service-name')
        by_service.setdefault((each['metadata']['namespace'], owner), []).append(each)
    made = []
    for service in services:
        metadata, spec = service['metadata'], service['spec']
        owned = by_service.get((metadata['namespace'], metadata['name']), [])
        if spec.get('clusterIP') in (None, '', 'None'):
            continue
        for said in spec.get('ports', []):
            made.append(one_port(spec['clusterIP'], said, owned))
    return made


def one_port(address: str, said: Object, slices: list[Object]) -> Port:
    """One port with its endpoints."""
    made = Port(address, said.get('protocol', 'TCP').lower(), said['port'])
    for each in slices:
        for port in each.get('ports') or []:
            same = (port.get('name') or '') == (said.get('name') or '') and port.get('protocol') == said.get(
                'protocol', 'TCP'
            )
            if not same or each['addressType'] != 'IPv4':
                continue
            for endpoint in each.get('endpoints') or []:
                backend = (endpoint['addresses'][0], port['port'])
                state: dict[str, Any] = endpoint.get('conditions', {})
                if state.get('ready', True):
                    made.ready.add(backend)
                elif state.get('serving') and state.get('terminating'):
                    made.ending.add(backend)
    return made


def rules(all_ports: list[Port]) -> str:
    """The whole table for these ports, as `nft` reads it; it replaces the former one at once."""
    translate, refuse, back = [], [], set()
    for port in all_ports:
        to = f'ip daddr {port.address} {port.protocol} dport {port.port}'
        backends = port.backends
        if backends:
            choice = ', '.join(f'{n} : {address} . {number}' for n, (address, number) in enumerate(backends))
            translate.append(f'{to} dnat ip to numgen random mod {len(backends)} map {{ {choice} }}')
            back |= {address for address, _ in backends}
        else:
            refuse.append(f'{to} reject' + (' with tcp reset' if port.protocol == 'tcp' else ''))
    own = ', '.join(f'{address} . {address}' for address in sorted(back))
    hairpin = f'ip saddr . ip daddr {{ {own} }} ct status dnat masquerade' if own else ''

    def chain(name: str, kind: str, hook: str, priority: int, lines: list[str]) -> str:
        return '\n'.join([f'chain {name} {{', f'type {kind} hook {hook} priority {priority};', *lines, '}'])

    return '\n'.join(
        [
            f'table ip {TABLE}',
            f'delete table ip {TABLE}',
            f'table ip {TABLE} {{',
            chain('from-pods', 'nat', 'prerouting', -100, translate),
            chain('from-node', 'nat', 'output', -100, translate),
            chain('back', 'nat', 'postrouting', 100, [hairpin]),
            chain('refuse-pods', 'filter', 'forward', 0, refuse),
            chain('refuse-node', 'filter', 'output', 0, refuse),
            '}',
            '',
        ]
    )


class Proxy(threading.Thread):
    """Keeps the rules as the API server says."""

    def __init__(self, api: Api):
        super().__init__(daemon=True, name='proxy')
        self._changed = threading.Event()

        def notice(thing: Object, gone: bool) -> None:
            self._changed.set()

        self._services = Follower(api, '/api/v1/services', notice)
        self._slices = Follower(api, '/apis/discovery.k8s.io/v1/endpointslices', notice)
        self._datagrams: set[tuple[str, int, str]] = set()
        self.ready = threading.Event()

    def run(self) -> None:
        """Writes the rules anew after each change."""
        for follower in (self._services, self._slices):
            follower.start()
            follower.filled.wait()
        self._changed.set()
        while self._changed.wait():
            self._changed.clear()
            threading.Event().wait(PAUSE)
            try:
                self._write(ports(self._services.all(), self._slices.all()))
                self.ready.set()
            except (OSError, subprocess.CalledProcessError) as error:
                log.error('nft: %s', getattr(error, 'stderr', error))
                threading.Event().wait(1)
                self._changed.set()

    def _write(self, now: list[Port]) -> None:
        subprocess.run(['nft', '-f', '-'], input=rules(now), text=True, capture_output=True, check=True)
        # A "connection" of datagrams is remembered with its endpoint as long as they come: forget those that have left.
        udp = {(port.address, port.port, backend[0]) for port in now if port.protocol == 'udp' for backend in port.backends}
        for address, number, backend in self._datagrams - udp:
            forget(address, number, '--dst-nat', backend)
        known = {(address, number) for address, number, _ in self._datagrams}
        for address, number in {(address, number) for address, number, _ in udp} - known:
            forget(address, number)  # what was tried in vain before there was anyone
        self._datagrams = udp


def forget(address: str, port: int, *more: str) -> None:
    """Forgets connections of datagrams to a port of a Service; it is no fault when there are none."""
    subprocess.run(
        ['conntrack', '--delete', '--proto', 'udp', '--orig-dst', address, '--orig-port-dst', str(port), *more],
        capture_output=True,
        check=False,
    )

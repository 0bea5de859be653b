"""The network of pods: an address for each, in a namespace of its own, routed through the node (no bridge, so that every
packet passes the node's rules for Services)."""

import ipaddress
import os
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 5.0  # seconds for a namespace to be there


@dataclass
class Sandbox:
    """A network namespace, held by a process that does nothing, and its address."""

    address: str
    holder: subprocess.Popen

    @property
    def namespace(self) -> str:
        """The file that stands for it."""
        return f'/proc/{self.holder.pid}/ns/net'

    def close(self) -> None:
        """Ends it; its link and route go with it."""
        self.holder.kill()
        self.holder.wait()


class Network:
    """Gives addresses of one range to pods."""

    def __init__(self, cidr: str):
        """The first address of the range is the node's own."""
        hosts = list(map(str, ipaddress.ip_network(cidr).hosts()))
        self.node, self._all = hosts[0], hosts[10:]
        self._next = 0
        self._used: set[str] = set()
        self._lock = threading.Lock()

    def open(self) -> Sandbox:
        """A namespace with an address. An address comes back into use as late as possible."""
        with self._lock:
            while (address := self._all[self._next % len(self._all)]) in self._used:
                self._next += 1
            self._next += 1
            number = self._next
            self._used.add(address)
        holder = subprocess.Popen(['unshare', '--net', 'sleep', 'infinity'], stdin=subprocess.DEVNULL)
        sandbox = Sandbox(address, holder)
        try:
            wait_for_namespace(holder.pid)
            self._plug(sandbox, f'pod{number}')
        except BaseException:
            self.close(sandbox)
            raise
        return sandbox

    def _plug(self, sandbox: Sandbox, link: str) -> None:
        batch(f"""
            link add {link} type veth peer name eth0 netns {sandbox.holder.pid}
            link set {link} up
            route add {sandbox.address}/32 dev {link} src {self.node}""")
        batch(
            f"""
            link set lo up
            addr add {sandbox.address}/32 dev eth0
            link set eth0 up
            route add default via {self.node} dev eth0 onlink""",
            sandbox.namespace,
        )

    def close(self, sandbox: Sandbox) -> None:
        """Ends a namespace and takes its address back."""
        sandbox.close()
        with self._lock:
            self._used.discard(sandbox.address)


def wait_for_namespace(pid: int) -> None:
    """Returns when a process has left our network namespace."""
    ours, end = os.readlink('/proc/self/ns/net'), time.monotonic() + PATIENCE
    while os.readlink(f'/proc/{pid}/ns/net') == ours or not Path(f'/proc/{pid}/comm').read_text().startswith('sleep'):
        if time.monotonic() > end:
            raise OSError(f'the process {pid} has made no network namespace')
        time.sleep(0.005)


def batch(lines: str, namespace: str | None = None) -> None:
    """Runs the lines as commands of `ip`, in a namespace."""
    inside = [] if namespace is None else ['nsenter', f'--net={namespace}']
    text = '\n'.join(line.strip() for line in lines.splitlines())
    done = subprocess.run([*inside, 'ip', '-batch', '-'], input=text, text=True, capture_output=True, check=False)
    if done.returncode != 0:
        raise OSError(f'ip: {done.stderr.strip()}')

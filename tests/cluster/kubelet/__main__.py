"""Runs a node until it is told to end:

    python3 -m kubelet --control DIR --pods CIDR --images FILE --directory DIR --dns ADDRESS --domain DOMAIN

It must run as root in a network namespace of its own, where the first address of CIDR is. `DIR/ready` is written when pods are
taken and Services lead somewhere. `DIR/running/NAMESPACE/POD/CONTAINER` tells which process a container is, `DIR/logs` has
what each container wrote.
"""

import argparse
import logging
import signal
import threading
from pathlib import Path

from kubelet.api import Api
from kubelet.network import Network
from kubelet.node import Node
from kubelet.services import Proxy


def options() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog='kubelet')
    parser.add_argument('--control', type=Path, required=True, help='the directory of `apiserver up`')
    parser.add_argument('--name', default='node-1')
    parser.add_argument('--pods', required=True, help='the range of addresses of pods')
    parser.add_argument('--images', type=Path, required=True, help='what each image name stands for; see images.py')
    parser.add_argument('--directory', type=Path, required=True, help='for everything that is kept')
    parser.add_argument('--dns', required=True, help='the nameserver of pods')
    parser.add_argument('--domain', default='cluster.local')
    parser.add_argument('--token-share', type=float, default=0.8, help='of its life, after which a token is replaced')
    return parser.parse_args()


def main() -> None:
    """Starts the node."""
    said = options()
    said.directory.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(level=logging.INFO, format='%(asctime)s %(name)s %(levelname)s %(message)s')
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    api = Api(said.control)
    proxy = Proxy(api)
    proxy.start()
    proxy.ready.wait()
    network = Network(said.pods)
    Node(api, said.name, network, said.directory, said.images, said.dns, said.domain, said.token_share).start()
    (said.directory / 'ready').touch()
    over.wait()


if __name__ == '__main__':
    main()

"""Faults of SDKs that no direct call of the very same lanes can show: `traits.json`, each with the call that proves it."""

import json
import re
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from peers import Lane, Peer, PeerError

KEYS = {'operations', 'mesh', 'why', 'proof', 'text'}


@dataclass(frozen=True)
class Trait:
    """Lanes and operations that an SDK's fault spoils, and the direct pair that shows it in one of these operations.

    `mesh` and `text` are patterns of what must be said through the mesh and directly: no other failure is covered.
    """

    client: str | None  # patterns of lanes; with both it is a fault of the two together
    agent: str | None
    operations: list[str]
    mesh: re.Pattern
    text: re.Pattern
    why: str
    proof: tuple[Lane, Lane]

    @property
    def fault(self) -> str:
        """`client`, `agent` or `pair`."""
        return 'pair' if self.client and self.agent else 'client' if self.client else 'agent'

    def who(self, pair: tuple[Lane, Lane]) -> str:
        """Whom of a pair it speaks of."""
        client, agent = (lane.name for lane in pair)
        return {'client': f'{client} as client', 'agent': f'{agent} as agent'}.get(self.fault, f'{client} with {agent}')

    @property
    def name(self) -> str:
        """The proof, such as `js1-rest-03 -> python03-rest-03`."""
        return ' -> '.join(lane.name for lane in self.proof)

    def covers(self, pair: tuple[Lane, Lane]) -> bool:
        """Whether it speaks of this pair."""
        return fnmatch(pair[0].name, self.client or '*') and fnmatch(pair[1].name, self.agent or '*')

    def asks(self, operation: str, why: str) -> bool:
        """Whether it would explain this failure."""
        return operation in self.operations and self.mesh.search(why) is not None

    def honoured(self, operation: str, why: str, directly) -> bool:
        """Whether it explains this failure: its proof was run and failed as it says."""
        return self.asks(operation, why) and any(
            known is not None and known.result == 'fail' and self.text.search(known.why)
            for known in (directly.said(*self.proof, name) for name in self.operations)
        )


def load(file: Path, peers: list[Peer]) -> list[Trait]:
    """The traits whose proof can be run with these peers."""
    clients = {lane.name: lane for peer in peers for lane in peer.clients}
    agents = {lane.name: lane for peer in peers for lane in peer.agents}
    found = []
    for entry in json.loads(file.read_text()):
        sides = entry.keys() & {'client', 'agent'}
        if entry.keys() - sides != KEYS or not sides:
            raise PeerError(f'{file.name}: {entry} must have {", ".join(sorted(KEYS))}, and client or agent or both')
        client, _, agent = entry['proof'].partition(' -> ')
        if client in clients and agent in agents:
            patterns = (re.compile(entry[name], re.IGNORECASE) for name in ('mesh', 'text'))
            lanes = (entry.get('client'), entry.get('agent'))
            found.append(Trait(*lanes, entry['operations'], *patterns, entry['why'], (clients[client], agents[agent])))
    return found

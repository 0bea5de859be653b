"""What a result through the mesh means, given what the two SDKs can do directly."""

import re
import threading
from dataclasses import dataclass

from peers import Lane, Result

PASS, FAIL, SDK, NONE = 'pass', 'FAIL', 'sdk', 'n/a'

# How an agent or SDK says that there is no such call; 0.3 has no ListTasks.
NO_SUCH_CALL = re.compile(
    r'-32601|-32004|method.?not.?found|unsupported.?operation|operation.{0,20}not supported|unimplemented|'
    r'not.?implemented|\b(404|405|501)\b',
    re.IGNORECASE,
)
LONG = 240  # characters of a reason on the page
# What is new in every run has no place in a proof.
VOLATILE = (
    (re.compile(r'[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', re.IGNORECASE), '<id>'),
    (re.compile(r'\b[0-9a-f]{32}\b', re.IGNORECASE), '<id>'),
    (re.compile(r'(127\.0\.0\.1|localhost|\[::1\]):\d+'), '<agent>'),
    (re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?'), '<time>'),
    (re.compile(r'\b\d+(\.\d+)? ?(ms|s|seconds)\b'), '<time>'),
    (re.compile(r'(/[\w.@+-]+){3,}(?=[:/]\d|\b)'), '<path>'),
)


@dataclass(frozen=True)
class Cell:
    """One operation of one pair: the verdict, what the client said, and for `sdk` who fails directly, and how."""

    verdict: str
    why: str = ''
    who: str = ''
    proof: str = ''


class Directly:
    """What client lanes and agent lanes could do without sidecars."""

    def __init__(self):
        self._lock = threading.Lock()
        self.trials: dict[tuple[Lane, Lane], dict[str, Result]] = {}

    def learn(self, client: Lane, agent: Lane, results: dict[str, Result]) -> None:
        """Keeps what a direct run gave; what is known already of the same pair stays."""
        with self._lock:
            self.trials = self.trials | {(client, agent): results | self.trials.get((client, agent), {})}

    def unknown(self, client: Lane, agent: Lane, operations: list[str]) -> list[str]:
        """Those of the operations that this pair has not been tried with."""
        return [name for name in operations if name not in self.trials.get((client, agent), {})]

    def fault(self, side: int, lane: Lane, operation: str) -> Result | None:
        """How an operation fails for a lane (side 0: as client, 1: as agent) with everybody it was tried with.

        Who fails with all others but not with itself speaks what only it understands: others count first.
        """
        rows = {pair: row for pair, row in self.trials.items() if pair[side] == lane and operation in row}
        others = [row[operation] for pair, row in rows.items() if pair[0].peer != pair[1].peer]
        for results in (others, [row[operation] for row in rows.values()]):
            known = [result for result in results if result.result != 'unsupported']
            if known:
                return known[0] if all(result.result == 'fail' for result in known) else None
        return None

    def excuse(self, client: Lane, agent: Lane, operation: str) -> tuple[str, Result] | None:
        """Who fails directly, and how: the client or the agent with everybody, or this very pair."""
        for side, lanes, role in ((0, [client], 'client'), (1, stand_ins(agent), 'agent')):
            for one in lanes:
                known = self.fault(side, one, operation)
                if known is not None:
                    return f'{one.name} as {role}', known
        for one in stand_ins(agent):
            known = self.trials.get((client, one), {}).get(operation)
            if known is not None and known.result == 'fail':
                return f'{client.name} with {one.name}', known
        return None


def stand_ins(agent: Lane) -> list[Lane]:
    """The lanes that tell about an agent lane: for one that lets the sidecar choose, those that it may choose."""
    if agent.binding != 'auto':
        return [agent]
    return [lane for lane in agent.peer.agents if lane.dialect == agent.dialect and lane.binding != 'auto']


def judge(client: Lane, agent: Lane, operation: str, result: Result, directly: Directly) -> Cell:
    """The cell of one operation."""
    if result.result == 'pass':
        return Cell(PASS, result.why)
    if result.result == 'unsupported':
        return Cell(NONE, result.why)
    if operation == 'ListTasks' and agent.dialect == '0.3' and NO_SUCH_CALL.search(result.why):
        return Cell(NONE, '0.3 has no ListTasks')
    excuse = directly.excuse(client, agent, operation)
    if excuse is not None:
        who, known = excuse
        return Cell(SDK, result.why, who, steady(known.why))
    return Cell(FAIL, result.why)


def steady(text: str) -> str:
    """The text without what differs from run to run, and not too long."""
    for pattern, word in VOLATILE:
        text = pattern.sub(word, text)
    return text if len(text) <= LONG else f'{text[:LONG]}…'

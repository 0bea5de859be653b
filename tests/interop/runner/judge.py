"""What a result through the mesh means, given what the two SDKs can do directly."""

import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from peers import Lane, Result
from reasons import same, vague
from traits import Trait

PASS, FAIL, SDK, NONE, DRAFT = 'pass', 'FAIL', 'sdk', 'n/a', 'draft'
VERDICTS = (PASS, SDK, DRAFT, NONE, FAIL)

# The refusal of a call that 0.3 does not have, in the sidecar's words or in those in which SDKs hide them.
REFUSED = re.compile(
    r'no list of tasks|-32601|method.?not.?found|unimplemented|not.?implemented|not.?found|unsupported|not.?supported|'
    r'\b(404|405|501)\b',
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Confrontation:
    """A direct call that may show why a pair fails. `fault`: who it speaks against if it fails alike: the `client`, the
    `agent`, or the two together (`pair`)."""

    client: Lane
    agent: Lane
    fault: str

    @property
    def foreign(self) -> bool:
        """Whether two SDK lines meet."""
        return self.client.peer != self.agent.peer

    @property
    def name(self) -> str:
        """Such as `js1-rest-03 -> python03-rest-03`."""
        return f'{self.client.name} -> {self.agent.name}'

    @property
    def who(self) -> str:
        """Whom it speaks against."""
        lanes = {'client': f'{self.client.name} as client', 'agent': f'{self.agent.name} as agent'}
        return lanes.get(self.fault, f'{self.client.name} with {self.agent.name}')


@dataclass(frozen=True)
class Cell:
    """One operation of one pair: the verdict, what the client said; for `sdk` whose `fault` it is (`client`, `agent` or
    `pair`) and `who` that is, the direct pair that proves it, and what is said there."""

    verdict: str
    why: str = ''
    fault: str = ''
    who: str = ''
    proof: str = ''
    said: str = ''
    explained: bool = False  # by traits.json, whose words are in `said`


class Directly:
    """What client lanes and agent lanes could do without sidecars."""

    def __init__(self):
        self._lock = threading.Lock()
        self.trials: dict[tuple[Lane, Lane], dict[str, Result]] = {}

    def learn(self, client: Lane, agent: Lane, results: dict[str, Result]) -> None:
        """Keeps what a direct run gave; what is known already of the same pair stays."""
        with self._lock:
            self.trials = self.trials | {(client, agent): results | self.trials.get((client, agent), {})}

    def said(self, client: Lane, agent: Lane, operation: str) -> Result | None:
        """What came of one operation, if it was tried."""
        return self.trials.get((client, agent), {}).get(operation)

    def unknown(self, client: Lane, agent: Lane, operations: Iterable[str]) -> list[str]:
        """Those of the operations that this pair has not been tried with."""
        return [name for name in operations if self.said(client, agent, name) is None]

    def alike(self, one: Confrontation, operation: str, why: str) -> bool:
        """Whether that direct call failed for the same reason."""
        known = self.said(one.client, one.agent, operation)
        return known is not None and known.result == 'fail' and same(why, known.why)

    def proof(self, confrontations: list[Confrontation], operation: str, why: str) -> Confrontation | None:
        """The first direct call that failed for the same reason. If the reason is vague, all calls to or from other SDKs
        that speak against the same side must have failed so."""
        for one in confrontations:
            if not self.alike(one, operation, why):
                continue
            others = [other for other in confrontations if other.fault == one.fault and other.foreign]
            if one.fault == 'pair' or not vague(why) or (others and all(self.alike(o, operation, why) for o in others)):
                return one
        return None


def judge(pair: tuple[Lane, Lane], operation: str, result: Result, directly: Directly, confrontations, traits) -> Cell:
    """The cell of one operation; `confrontations` and `traits` are those that concern this pair."""
    agent = pair[1]
    if result.result == 'unsupported':
        return Cell(NONE, result.why)
    if operation == 'ListTasks' and agent.dialect == '0.3':
        if result.result == 'pass':
            return Cell(FAIL, '0.3 has no ListTasks, and yet there was a list')
        if REFUSED.search(result.why):
            return Cell(NONE, '0.3 has no ListTasks')
    if result.result == 'pass':
        return Cell(PASS, result.why)
    if any(lane.peer.draft for lane in pair):
        return Cell(DRAFT, result.why)
    if result.result == 'fail':
        one = directly.proof(confrontations, operation, result.why)
        if one is not None:
            return Cell(SDK, result.why, one.fault, one.who, one.name, directly.said(one.client, one.agent, operation).why)
        for trait in traits:
            if trait.honoured(operation, result.why, directly):
                return Cell(SDK, result.why, trait.fault, trait.who(pair), trait.name, trait.why, explained=True)
    return Cell(FAIL, result.why)

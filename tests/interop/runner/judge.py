"""What a result through the mesh means, given what the two SDKs can do directly."""

import re
from dataclasses import dataclass

from peers import Lane, Result

PASS, FAIL, SDK, NONE = 'pass', 'FAIL', 'sdk', 'n/a'

# How an agent or SDK says that there is no such call; 0.3 has no ListTasks.
NO_SUCH_CALL = re.compile(
    r'-32601|-32004|method.?not.?found|unsupported.?operation|operation.{0,20}not supported|unimplemented|'
    r'not.?implemented|\b(404|405|501)\b',
    re.IGNORECASE,
)
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
    """One operation of one pair: the verdict, what the client said, and for `sdk` where and how it fails directly."""

    verdict: str
    why: str = ''
    lane: str = ''
    proof: str = ''


class Directly:
    """What each lane could do without sidecars, and with whom it was tried."""

    def __init__(self):
        self._known: dict[tuple[str, Lane], tuple[Lane, dict[str, Result]]] = {}

    def learn(self, client: Lane, agent: Lane, results: dict[str, Result], about: str, lane: Lane) -> None:
        """Keeps what a direct run says `about` a lane as `client` or as `agent`."""
        self._known[about, lane] = (agent if about == 'client' else client, results)

    def failure(self, about: str, lane: Lane, operation: str) -> Result | None:
        """How an operation fails directly; a lane that lets the sidecar choose fails where any of its lanes does."""
        lanes = [lane]
        if lane.binding == 'auto':
            lanes = [other for other in lane.peer.agents if other.dialect == lane.dialect and other != lane]
        for one in lanes:
            _, results = self._known.get((about, one), (None, {}))
            if operation in results and results[operation].result == 'fail':
                return results[operation]
        return None

    def rows(self) -> list[tuple[str, Lane, Lane, dict[str, Result]]]:
        """Everything that is known: side, lane, partner, results."""
        return [(about, lane, other, results) for (about, lane), (other, results) in self._known.items()]


def judge(client: Lane, agent: Lane, operation: str, result: Result, directly: Directly) -> Cell:
    """The cell of one operation."""
    if result.result == 'pass':
        return Cell(PASS, result.why)
    if result.result == 'unsupported':
        return Cell(NONE, result.why)
    if operation == 'ListTasks' and agent.dialect == '0.3' and NO_SUCH_CALL.search(result.why):
        return Cell(NONE, '0.3 has no ListTasks')
    for about, lane in (('client', client), ('agent', agent)):
        known = directly.failure(about, lane, operation)
        if known is not None:
            return Cell(SDK, result.why, f'{lane.name} as {about}', steady(known.why))
    return Cell(FAIL, result.why)


def steady(text: str) -> str:
    """The text without what differs from run to run."""
    for pattern, word in VOLATILE:
        text = pattern.sub(word, text)
    return text

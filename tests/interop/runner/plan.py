"""Which client lane calls which agent lane: all of them, those that a pattern names, or a subset that covers every lane."""

from collections import Counter
from fnmatch import fnmatch

from judge import Directly, stand_ins
from peers import Lane, Peer

Pair = tuple[Lane, Lane]

# Always in the daily subset where both sides are there: what it is for, client lane and agent lane.
NAMED = (
    ('a 0.3 Python client streams from a 1.0 Go agent', 'python03-jsonrpc-03', 'go2-jsonrpc-10'),
    ('a 1.0 JS client streams from a 0.3 Python agent', 'js1-jsonrpc-10', 'python03-jsonrpc-03'),
)


def every(peers: list[Peer]) -> list[Pair]:
    """Every client lane with every agent lane."""
    clients = [lane for peer in peers for lane in peer.clients]
    agents = [lane for peer in peers for lane in peer.agents]
    return [(client, agent) for client in clients for agent in agents]


def matching(pairs: list[Pair], pattern: str) -> list[Pair]:
    """The pairs that `client-glob -> agent-glob` names."""
    client, arrow, agent = (piece.strip() for piece in pattern.partition('->'))
    if not arrow:
        client, agent = '*', client
    return [(c, a) for c, a in pairs if fnmatch(c.name, client or '*') and fnmatch(a.name, agent or '*')]


def daily(pairs: list[Pair]) -> list[Pair]:
    """Every client lane with a 1.0 and a 0.3 agent of another SDK, every agent lane with such clients, every way from one
    binding and dialect to another, and the named."""
    chosen = {pair for pair in pairs if (pair[0].name, pair[1].name) in {named[1:] for named in NAMED}}
    for side in (0, 1):
        for lane in dict.fromkeys(pair[side] for pair in pairs):
            for dialect in ('1.0', '0.3'):
                fits = [pair for pair in pairs if pair[side] == lane and pair[1 - side].dialect == dialect]
                if fits and not any(pair in chosen and foreign(pair) for pair in fits):
                    chosen.add(min(fits, key=lambda pair: rank(pair, side, chosen, pairs)))
    for way in dict.fromkeys(map(way_of, pairs)):
        fits = [pair for pair in pairs if way_of(pair) == way]
        if not any(pair in chosen for pair in fits):
            chosen.add(min(fits, key=lambda pair: rank(pair, 0, chosen, pairs)))
    return [pair for pair in pairs if pair in chosen]


def way_of(pair: Pair) -> tuple:
    """What the two sides speak."""
    return tuple(map(speech, pair))


def foreign(pair: Pair) -> bool:
    """Whether the two sides are of different languages."""
    return pair[0].peer.language != pair[1].peer.language


def rank(pair: Pair, side: int, chosen: set[Pair], pairs: list[Pair]) -> tuple:
    """The smaller, the better: another language, a lane and a language that were seldom chosen, the order of the lanes."""
    other = pair[1 - side]
    lanes = Counter(one[1 - side] for one in chosen)
    languages = Counter(one[1 - side].peer.name for one in chosen if one[side].peer == pair[side].peer)
    same_line = pair[0].peer == pair[1].peer
    return not foreign(pair), same_line, lanes[other], languages[other.peer.name], pairs.index(pair)


def trials(pairs: list[Pair], peers: list[Peer]) -> list[Pair]:
    """The direct calls that tell about all lanes of these pairs, each with the closest partner."""
    found = [(lane, partner(lane, 1, peers)) for lane in dict.fromkeys(pair[0] for pair in pairs)]
    agents = dict.fromkeys(lane for _, agent in pairs for lane in stand_ins(agent))
    found += [(partner(lane, 0, peers), lane) for lane in agents]
    return list(dict.fromkeys(pair for pair in found if None not in pair))


def doubts(known: Directly, peers: list[Peer]) -> dict[Pair, list[str]]:
    """Direct calls that tell which side is at fault where an operation failed: each side with a partner of another SDK."""
    found: dict[Pair, list[str]] = {}
    for pair, results in known.trials.items():
        failed = [name for name, result in results.items() if result.result == 'fail']
        others = [(pair[0], partner(pair[0], 1, peers, pair[1])), (partner(pair[1], 0, peers, pair[0]), pair[1])]
        for other in others:
            if failed and None not in other and other not in known.trials:
                asked = found.setdefault(other, [])
                asked += [name for name in failed if name not in asked]
    return found


def confrontations(client: Lane, agent: Lane, peers: list[Peer]) -> list[Pair]:
    """Direct calls that tell why a pair fails through the mesh: the client with an agent of that SDK and with another one,
    the agent with a client of that SDK and with another one."""
    found: list[Pair | tuple] = []
    for one in stand_ins(agent):
        same = [lane for lane in agent.peer.agents if speech(lane) == speech(client)]
        found += [(client, lane) for lane in (*same, partner(client, 1, peers, one))]
        same = [lane for lane in client.peer.clients if speech(lane) == speech(one)]
        found += [(lane, one) for lane in (*same, partner(one, 0, peers, client))]
    return list(dict.fromkeys(pair for pair in found if None not in pair))


def speech(lane: Lane) -> tuple[str, str]:
    """What a lane speaks."""
    return lane.binding, lane.dialect


def partner(lane: Lane, side: int, peers: list[Peer], instead: Lane | None = None) -> Lane | None:
    """The lane on that side (0: client, 1: agent) for a direct call with `lane`: of the same SDK line, else of the same
    language, else of any. If one did not do, `instead` of it one of an SDK that is as foreign as possible."""
    there = [other for peer in peers for other in (peer.agents if side else peer.clients)]
    fits = [other for other in there if speech(other) == speech(lane)]

    def near(other: Lane) -> tuple:
        return other.peer != lane.peer, other.peer.language != lane.peer.language, *reference(other)

    def far(other: Lane) -> tuple:
        return other.peer.language == lane.peer.language, *reference(other)

    if instead is None:
        return min(fits, key=near, default=None)
    return min((other for other in fits if other.peer not in (instead.peer, lane.peer)), key=far, default=None)


def reference(lane: Lane) -> tuple:
    """Python first, where there is nothing closer; then by name."""
    return lane.peer.language != 'python', lane.peer.name

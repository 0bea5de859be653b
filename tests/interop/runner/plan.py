"""Which client lane calls which agent lane: all of them, those that a pattern names, or a subset that covers every lane."""

from collections import Counter
from fnmatch import fnmatch

from judge import Confrontation
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
    binding and dialect to another, and the named; of the lines that are drafts one pair as client and one as agent."""
    drafts = [[pair for pair in pairs if pair[side].peer.draft and not pair[1 - side].peer.draft] for side in (0, 1)]
    pairs = [pair for pair in pairs if not any(lane.peer.draft for lane in pair)] or pairs
    return cover(pairs) + [min(some, key=lambda pair: not foreign(pair)) for some in drafts if some]


def cover(pairs: list[Pair]) -> list[Pair]:
    """As few of the pairs as have every lane, dialect and way."""
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


def confrontations(client: Lane, agent: Lane, peers: list[Peer]) -> list[Confrontation]:
    """Direct calls that may show why a pair fails through the mesh: the pair itself, where the two speak the same; the
    client with every agent that speaks as it does, and every client with the agent that speaks as that does. Those come
    first that have been made already, each lane with its own SDK; then those that read alike. Drafts prove nothing."""
    found = []
    for one in stand_ins(agent):
        if speech(one) == speech(client):
            found.append(Confrontation(client, one, 'pair'))
        callers = sorted(alike(peers, 0, one), key=lambda other: (other.peer != one.peer, other.peer != client.peer))
        found += [Confrontation(other, one, 'agent') for other in callers if other != client]
    answerers = sorted(alike(peers, 1, client), key=lambda other: (other.peer != client.peer, other.peer != agent.peer))
    own = [Confrontation(client, other, 'client') for other in answerers if other not in stand_ins(agent)]
    return sorted(found + own, key=lambda one: (one.foreign, one.fault != 'pair'))


def alike(peers: list[Peer], side: int, lane: Lane) -> list[Lane]:
    """The lanes on that side (0: clients, 1: agents) that speak as that lane does."""
    lanes = [one for peer in peers if not peer.draft for one in (peer.agents if side else peer.clients)]
    return [one for one in lanes if speech(one) == speech(lane)]


def speech(lane: Lane) -> tuple[str, str]:
    """What a lane speaks."""
    return lane.binding, lane.dialect


def stand_ins(agent: Lane) -> list[Lane]:
    """The lanes that tell about an agent lane: for one that lets the sidecar choose, those that it may choose."""
    if agent.binding != 'auto':
        return [agent]
    return [lane for lane in agent.peer.agents if lane.dialect == agent.dialect and lane.binding != 'auto']


def partner(lane: Lane, side: int, peers: list[Peer]) -> Lane | None:
    """The lane on that side (0: client, 1: agent) for a direct call with `lane`: of the same SDK line, else of the same
    language, else of Python, else of any."""
    there = [other for peer in peers for other in (peer.agents if side else peer.clients)]

    def near(other: Lane) -> tuple:
        strange = other.peer.language != lane.peer.language
        return other.peer != lane.peer, strange, other.peer.language != 'python', other.peer.name

    return min((other for other in there if speech(other) == speech(lane)), key=near, default=None)

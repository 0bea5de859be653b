"""Which client lane calls which agent lane: all of them, those that a pattern names, or a subset that covers every lane."""

from collections import Counter
from fnmatch import fnmatch

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
    """Every client lane with a 1.0 and a 0.3 agent of another SDK, every agent lane with such clients, and the named."""
    chosen = {pair for pair in pairs if (pair[0].name, pair[1].name) in {named[1:] for named in NAMED}}
    for side in (0, 1):
        for lane in dict.fromkeys(pair[side] for pair in pairs):
            for dialect in ('1.0', '0.3'):
                fits = [pair for pair in pairs if pair[side] == lane and pair[1 - side].dialect == dialect]
                if fits and not any(pair in chosen and foreign(pair) for pair in fits):
                    chosen.add(min(fits, key=lambda pair: rank(pair, side, chosen, pairs)))
    return [pair for pair in pairs if pair in chosen]


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


def partner(lane: Lane, as_client: bool, peers: list[Peer]) -> Lane | None:
    """The lane on the other side for a direct call: of the same SDK line, else of the same language, else of any."""
    there = [other for peer in peers for other in (peer.agents if as_client else peer.clients)]
    fits = [other for other in there if (other.binding, other.dialect) == (lane.binding, lane.dialect)]
    return min(
        fits,
        key=lambda other: (
            other.peer.name != lane.peer.name,
            other.peer.language != lane.peer.language,
            other.peer.language != 'python',  # the reference where there is nothing closer
            other.peer.name,
        ),
        default=None,
    )

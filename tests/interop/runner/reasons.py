"""What failures say: without what differs from run to run, whether two say the same, and in few words for the page."""

import re
from collections import Counter

LONG = 150  # characters of a reason on the page
SHORT = 10  # characters that a clause must have to tell anything

# What is new in every run has no place in a proof.
VOLATILE = (
    (re.compile(r'https?://[^\s\'"]+'), '<url>'),
    (re.compile(r'[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', re.IGNORECASE), '<id>'),
    (re.compile(r'\b[0-9a-f]{32}\b', re.IGNORECASE), '<id>'),
    (re.compile(r'(127\.0\.0\.1|localhost|\[::1\]):\d+'), '<agent>'),
    (re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?'), '<time>'),
    (re.compile(r'\b\d+(\.\d+)? ?(ms|µs|s|seconds)\b'), '<time>'),
    (re.compile(r'(/[\w.@+-]+){3,}(?=[:/]\d|\b)'), '<path>'),
)
# Any number but an HTTP status and a JSON-RPC code.
NUMBER = re.compile(r'(?<![\w.-])(?![1-5]\d\d\b(?!\.\d))\d+(\.\d+)?\b')
# Where one thing that a failure says ends and the next begins.
BETWEEN = re.compile(r'[:;=,(){}\[\]<>!|]|\.\s|\.$|\s-\s')
# What clients put around any failure.
GENERIC = re.compile(
    r'[\w.$]*(error|exception|impl)|internal (server )?error|(http|client|json-rpc|jsonrpc|rest) error.*|status.*|'
    r'code -?\d+|failed to send .*|for more information check|response|the stream failed|wanted .*|not task.*|\w+',
)
# What fails so may have any cause: one partner that fails so too proves nothing.
VAGUE = re.compile(
    r'timed? ?out|timeout|deadline|held back|no end after|events? (came )?within|events are \[\]|http error 4\d\d|'
    r'internal error',
    re.IGNORECASE,
)

# How clients compare: 'what: got, not wanted' and 'what: wanted this, got that'.
COMPARED = (
    re.compile(r'^(?P<what>[\w ]+): (?P<got>.*), not (?P<wanted>.*)$', re.DOTALL),
    re.compile(r'^(?P<what>[\w ,]+): wanted (?P<wanted>.*), got (?P<got>.*)$', re.DOTALL),
)
WORD = re.compile(r'[^\s"\'{}\[\](),:]+')


def steady(text: str) -> str:
    """The text without what differs from run to run."""
    for pattern, word in VOLATILE:
        text = pattern.sub(word, text)
    return text


def same(one: str, other: str) -> bool:
    """Whether a failure through the mesh (`one`) and a direct one have the same reason: they say the same, or all that
    was not as wanted in the one was not in the other either, or a clause that tells something is in both."""
    ours, theirs = differences(one), differences(other)
    if ours is not None and theirs is not None:
        return any(ours) and all(mine <= his for mine, his in zip(ours, theirs, strict=True))
    if ours is not None or theirs is not None:
        return False
    return plain(one) == plain(other) or any(mine in his or his in mine for mine in clauses(one) for his in clauses(other))


def vague(text: str) -> bool:
    """Whether it may have any cause."""
    return VAGUE.search(text) is not None


def plain(text: str) -> str:
    """The text without numbers, quotes, case and what differs from run to run."""
    text = NUMBER.sub('#', re.sub(r'["\'`]', '', steady(text))).casefold()
    return ' '.join(text.split())


def clauses(text: str) -> list[str]:
    """What it says that not every failure says."""
    found = (clause.strip(' .') for clause in BETWEEN.split(plain(text)))
    return [clause for clause in found if len(clause) >= SHORT and not GENERIC.fullmatch(clause)]


def differences(text: str) -> tuple[Counter, Counter] | None:
    """For a comparison, the words that came and were not wanted, and those that were wanted and did not come."""
    for pattern in COMPARED:
        if found := pattern.match(steady(text)):
            got, wanted = words(found['got']), words(found['wanted'])
            return got - wanted, wanted - got
    return None


def words(text: str) -> Counter:
    """The words of a value in whatever notation: 1.0 is 1, None is null."""
    return Counter(map(canonical, WORD.findall(text)))


def canonical(word: str) -> str:
    """A word as it is compared."""
    if re.fullmatch(r'-?\d+\.0', word):
        return word.removesuffix('.0')
    return {'none': 'null'}.get(word.casefold(), word)


def brief(text: str) -> str:
    """The text for the page: of a comparison only what differs."""
    text, compared = steady(text), differences(text)
    if compared is not None and len(text) > LONG:
        got, wanted = (' '.join(sorted(side.elements())) or 'nothing' for side in compared)
        text = f'{text.partition(":")[0]}: {got} instead of {wanted}'
    return text if len(text) <= LONG else f'{text[:LONG]}…'

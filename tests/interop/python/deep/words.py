"""What the agent and its callers must agree on, down to the letter."""

PEER = 'peer'
EXTENSION = 'https://extensions.example/nothing/v1'

# What `data` answers when it is given none: every kind of value that the SDK itself can carry.
SAMPLE = {
    'big': 9007199254740991,
    'negative': -9007199254740991,
    'float': 0.1,
    'huge': 1e300,
    'tiny': 5e-324,
    'nothing': None,
    'yes': True,
    'empty': '',
    'text': 'žluťoučký kůň \U0001f40e \u2028 "\\ \x7f',
    'list': [None, [], {}, [[None]], {'a': None}],
    'deep': {'a': {'b': {'c': {'d': [1, [2, [3, {'e': None}]]]}}}},
}

# What `wire` answers, to the letter: numbers that no double holds, and members that no version knows.
WIRE_REPLY = (
    '{"message":{"messageId":"w1","role":"ROLE_AGENT","contextId":"c1","parts":[{"data":{"exact":9007199254740993,'
    '"longer":123456789012345678901234567890,"whole":1.0,"one":1,"small":1e-7,"pi":3.14159265358979323846,'
    '"zero":-0.0,"exponent":1E+2,"none":null,"list":[1,1.0,[null]]}},{"data":null},{"data":[]},{"text":""},'
    '{"text":"and","partFromTheFuture":{"n":10000000000000000001}}],'
    '"messageFromTheFuture":{"deep":[1.50,{"x":null}],"id":18446744073709551615},"metadata":{"n":1.0}}}'
)

# What `fault NAME` answers, to the letter, as the JSON-RPC error.
FAULTS = {
    'unlisted': '{"code":-32050,"message":"out of tea","data":[{"@type":"type.example/Tea","left":0,'
    '"exact":9007199254740993,"price":1.0}]}',
    'positive': '{"code":4711,"message":"a code of our own","data":{"why":null,"list":[1,2.0]}}',
    'string': '{"code":-32001,"message":"Task not found","data":"a bare string"}',
    'bare': '{"code":-32099,"message":""}',
    'known': '{"code":-32005,"message":"no pictures","data":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo",'
    '"reason":"CONTENT_TYPE_NOT_SUPPORTED","domain":"a2a-protocol.org","metadata":{"mime":"image/png","n":7}}]}',
}

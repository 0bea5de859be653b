"""What the SDK's objects cannot show, said in plain HTTP: exact numbers, unknown members, ids, cards and refusals."""

import json

import httpx

from harness import JSONRPC, Target, expect, expect_that, fresh, scenario
from words import FAULTS, WIRE_REPLY

BOTH = (JSONRPC,)
VERSION = {'A2A-Version': '1.0', 'Content-Type': 'application/json'}


def exact(text: str):
    """JSON as a tree in which every number is its own spelling."""
    return json.loads(text, parse_int=lambda s: ('int', s), parse_float=lambda s: ('float', s))


async def post(target: Target, body: str, **headers) -> httpx.Response:
    """One JSON-RPC call, its body as given."""
    async with httpx.AsyncClient() as http:
        return await http.post(target.base, content=body.encode(), headers={**VERSION, **headers})


def call(method: str, params: str, number: str = '1') -> str:
    """A JSON-RPC request around the text of its params."""
    return f'{{"jsonrpc":"2.0","id":{number},"method":"{method}","params":{params}}}'


def message(text: str, more: str = '') -> str:
    """The params of a send, `more` being further members of the message."""
    return f'{{"message":{{"messageId":"m1","role":"ROLE_USER","parts":[{{"text":"{text}"}}]{more}}}}}'


@scenario(BOTH)
async def numbers_and_unknown_members_of_a_request_arrive_to_the_letter(target: Target):
    key = fresh('body')
    params = (
        '{"message":{"messageId":"m1","role":"ROLE_USER","parts":[{"text":"wire ' + key + '"},'
        '{"data":{"exact":9007199254740993,"long":-123456789012345678901234567890,"whole":1.0,"one":1,'
        '"pi":3.14159265358979323846,"small":1e-7,"zero":-0.0,"exponent":1E+2,"none":null,"list":[1,1.0,[null]]}},'
        '{"data":null},{"data":{}},{"text":"","partFromTheFuture":[1.50,{"x":null}]}],'
        '"metadata":{"n":1.0},"messageFromTheFuture":{"id":18446744073709551615}},'
        '"configuration":{"historyLength":0,"returnImmediately":false,"futureFlag":true},"futureParam":"ž"}'
    )
    reply = await post(target, call('SendMessage', params))
    expect_that('result' in reply.json(), f'an answer: {reply.text}')
    async with httpx.AsyncClient() as http:
        arrived = await http.get(f'{target.control}/test/body/{key}')
    expect(exact(arrived.text)['params'], exact(params), 'params at the agent')


@scenario(BOTH)
async def numbers_and_unknown_members_of_a_reply_arrive_to_the_letter(target: Target):
    reply = await post(target, call('SendMessage', message('wire reply')))
    expect(exact(reply.text)['result'], exact(WIRE_REPLY), 'result at the caller')


@scenario(BOTH)
async def errors_arrive_to_the_letter(target: Target):
    for name, text in FAULTS.items():
        reply = await post(target, call('SendMessage', message(f'fault {name}')))
        expect(reply.status_code, 200, 'status')
        expect(exact(reply.text)['error'], exact(text), name)


@scenario(BOTH)
async def the_id_comes_back_with_its_type(target: Target):
    for number in ('7', '"7"', '"a b"', '0', '9007199254740991'):
        reply = await post(target, call('SendMessage', message('echo hi'), number))
        expect(reply.json().get('id'), json.loads(number), 'id')
        streamed = await post(target, call('SendStreamingMessage', message('echo hi'), number))
        events = [json.loads(line[5:]) for line in streamed.text.splitlines() if line.startswith('data:')]
        expect([event.get('id') for event in events], [json.loads(number)], 'id of the event')
        expect_that(streamed.headers['content-type'].startswith('text/event-stream'), 'a stream is an event stream')


@scenario(BOTH)
async def what_is_not_a_call_is_refused_as_such(target: Target):
    cases = {
        '{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{': -32700,
        call('NoSuchMethod', '{}'): -32601,
        call('GetTask', '[]'): -32602,
        call('SendMessage', '{"message":{"messageId":"m","role":"ROLE_USER","parts":"none"}}'): -32602,
        '[]': -32600,
        '{"jsonrpc":"1.0","id":1,"method":"GetTask","params":{"id":"x"}}': -32600,
    }
    for body, code in cases.items():
        reply = await post(target, body)
        expect((reply.status_code, reply.json().get('error', {}).get('code')), (200, code), body)


@scenario(BOTH)
async def the_card_is_fetched_whole_and_revalidated(target: Target):
    url = f'{target.base}/.well-known/agent-card.json'
    async with httpx.AsyncClient() as http:
        first = await http.get(url, headers={'A2A-Version': '1.0'})
        expect(first.status_code, 200, 'status')
        again = await http.get(url, headers={'A2A-Version': '1.0', 'If-None-Match': first.headers['etag']})
        expect(again.status_code, 304, 'status of the second time')
        old = (await http.get(url)).json()
    card = first.json()
    expect((card['name'], card['version']), ('peer', '1.2.3'), 'name and version')
    expect(card['documentationUrl'], 'https://docs.example/peer', 'a link that is not an interface')
    expect(card['securityRequirements'], [{'schemes': {'token': {}}}], 'security requirements')
    expect(list(card['securitySchemes']), ['token'], 'security schemes')
    expect(card['capabilities']['streaming'], True, 'streaming')
    faces = {face['protocolBinding']: face for face in card['supportedInterfaces']}
    expect_that('JSONRPC' in faces, f'JSON-RPC is there: {faces}')
    for binding, face in faces.items():
        if binding == 'GRPC':
            expect_that('://' not in face['url'], f'a gRPC address has no scheme: {face}')
        else:
            expect_that(face['url'].rstrip('/').startswith(target.base), f'in reach: {face}')
    expect_that(old['supportedInterfaces'], 'a caller that names no version gets the interfaces too')


@scenario(BOTH)
async def a_trailing_slash_is_the_same_place(target: Target):
    async with httpx.AsyncClient() as http:
        reply = await http.post(f'{target.base}/', content=call('SendMessage', message('echo hi')), headers=VERSION)
    expect(reply.status_code, 200, 'status')
    expect(reply.json()['result']['message']['parts'], [{'text': 'hi'}], 'parts')


@scenario(BOTH)
async def deleting_answers_with_a_result(target: Target):
    task = (await post(target, call('SendMessage', message('task x')))).json()['result']['task']
    params = json.dumps({'taskId': task['id'], 'id': 'none'})
    reply = (await post(target, call('DeleteTaskPushNotificationConfig', params))).json()
    expect_that('result' in reply and not reply['result'] and 'error' not in reply, f'an empty result: {reply}')

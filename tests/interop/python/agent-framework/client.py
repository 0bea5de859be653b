"""The interop client on Microsoft Agent Framework: its class A2AAgent, which stands on a2a-sdk 1.x.

An A2AAgent runs messages and polls or resumes what runs long; it has no calls for the rest of A2A. It shows data parts as
JSON behind the text before and sends none, it drops the names of files, and of a stream it shows chunks and last words.
It hands no channel factory to the SDK, so gRPC is no lane. As with a2a-sdk itself, a lane of dialect 0.3 gives it only
the 0.3 interfaces of the card.
"""

import asyncio
import json
import time

import httpx
from a2a.client import A2ACardResolver
from a2a.types import TaskState
from a2a.utils.errors import TaskNotFoundError
from agent_framework import AgentResponse, AgentSession, Content, Message
from agent_framework_a2a import A2AAgent

from loop import main
from operations import HEADERS, OPERATIONS, RESULT, expect
from operations import card as check_card
from speaker import Speaker
from words import BINARY, Unsupported


class Framework(Speaker):
    """Holds the A2AAgent of one target."""

    async def open(self) -> None:
        want = self.target.dialect
        headers = {'A2A-Version': '1.0'} if want == '1.0' else {}
        async with httpx.AsyncClient(headers=headers) as http:
            self._card = await A2ACardResolver(http, self.target.base).get_agent_card()
        faces = [face for face in self._card.supported_interfaces if face.protocol_version.startswith(want)]
        del self._card.supported_interfaces[:]
        self._card.supported_interfaces.extend(faces)
        if not any(face.protocol_binding == self.target.binding for face in faces):
            raise LookupError(f'the card has no {self.target.binding} of {want}')  # it would take JSON-RPC instead
        self.agent = self.made()

    def made(self, http: httpx.AsyncClient | None = None) -> A2AAgent:
        """An A2AAgent as a user makes it."""
        bindings = [self.target.binding]
        return A2AAgent(agent_card=self._card, http_client=http, supported_protocol_bindings=bindings)

    async def close(self) -> None:
        if hasattr(self, 'agent'):
            await self.agent.__aexit__(None, None, None)

    def card(self) -> dict:
        bindings = [face.protocol_binding for face in self._card.supported_interfaces]
        return {'name': self.agent.name, 'bindings': bindings}


def shown(response: AgentResponse) -> list:
    """What a user sees: texts, and URIs with their media types."""
    contents = [content for message in response.messages for content in message.contents]
    return [content.text if content.type == 'text' else (content.uri, content.media_type) for content in contents]


async def echo(speaker: Framework) -> str:
    contents = [
        Content.from_text('echo ü€😀'),
        Content.from_data(BINARY, 'application/octet-stream'),
        Content.from_uri('https://example.org/y.pdf', media_type='application/pdf'),
    ]
    metadata = {'k': 'v', 'n': 7}
    asked = Message(role='user', contents=contents, additional_properties={'a2a': metadata})
    response = await speaker.agent.run(asked)
    wanted = [content.text if content.type == 'text' else (content.uri, content.media_type) for content in contents]
    expect(shown(response), wanted, 'contents')
    expect(response.additional_properties.get('a2a'), metadata, 'metadata')
    return 'A2AAgent sends no data parts and no file names: text and files only'


async def task(speaker: Framework) -> None:
    check_result(await speaker.agent.run('task'))


def check_result(response: AgentResponse) -> None:
    """The four parts of the artifact, as the framework shows them."""
    words, binary, link = shown(response)
    first = RESULT[0]['text']
    expect(words[: len(first)], first, 'text')
    expect(json.loads(words[len(first) :]), RESULT[1]['data'], 'data')
    expect(binary, ('data:application/octet-stream;base64,AAH+/w==', 'application/octet-stream'), 'file')
    expect(link, ('https://example.org/x.png', 'image/png'), 'file by URI')


async def needs_input(speaker: Framework) -> None:
    session = AgentSession()
    asked = await speaker.agent.run('input', session=session)
    if not asked.user_input_requests:
        raise AssertionError(f'no input is requested: {shown(asked)}')
    before = dict(session.service_session_id)
    await speaker.agent.run('this one', session=session)
    after = dict(session.service_session_id)
    expect(after, before | {'task_state': TaskState.TASK_STATE_COMPLETED}, 'id, context and state')


async def fail(speaker: Framework) -> str:
    session = AgentSession()
    await speaker.agent.run('fail', session=session)
    expect(session.service_session_id['task_state'], TaskState.TASK_STATE_FAILED, 'state')
    return 'A2AAgent shows the state, not the message of it'


async def stream(speaker: Framework) -> str:
    times, texts = [], []
    session = AgentSession()
    async for update in speaker.agent.run('stream', stream=True, session=session):
        if update.text:
            times.append(time.monotonic())
            texts.append(update.text)
    expect(texts, ['chunk 1', 'chunk 2', 'chunk 3'], 'texts')
    expect(session.service_session_id['task_state'], TaskState.TASK_STATE_COMPLETED, 'state')
    if times[-1] - times[0] < 0.2:  # the agent takes 0.3 s between the first chunk and the last
        raise AssertionError(f'the chunks came within {times[-1] - times[0]:.3f} s: they were held back')
    return 'A2AAgent shows the chunks only'


async def stream_echo(speaker: Framework) -> None:
    expect([update.text async for update in speaker.agent.run('echo', stream=True)], ['echo'], 'updates')


async def get_task(speaker: Framework) -> str:
    response = await speaker.agent.run('task', background=True)
    while token := response.continuation_token:
        await asyncio.sleep(0.1)
        response = await speaker.agent.poll_task(token)
    check_result(response)
    return 'poll_task has no historyLength'


async def not_found(speaker: Framework) -> None:
    unknown = '00000000-0000-4000-8000-000000000000'
    try:
        response = await speaker.agent.poll_task({'task_id': unknown, 'context_id': unknown})
    except TaskNotFoundError:
        return
    raise AssertionError(f'wanted TaskNotFoundError, got {shown(response)}')


async def headers(speaker: Framework) -> None:
    async with httpx.AsyncClient(headers=HEADERS) as http:
        response = await speaker.made(http).run('headers')
    seen = json.loads(shown(response)[0])
    if seen.get('unsupported'):
        raise Unsupported("the agent's SDK shows an executor no headers")
    names = ('Authorization', 'X-API-Key', 'traceparent')
    expect({name: seen.get(name.lower()) for name in names}, HEADERS, 'headers')


def lacking(what: str):
    """An operation that the framework has no API for."""

    async def refuse(_speaker: Framework) -> None:
        raise Unsupported(f'A2AAgent has no call {what}')

    return refuse


OWN = {
    'Card': check_card,
    'SendMessage/echo': echo,
    'SendMessage/task': task,
    'SendMessage/input': needs_input,
    'SendMessage/fail': fail,
    'SendStreamingMessage': stream,
    'SendStreamingMessage/echo': stream_echo,
    'GetTask': get_task,
    'ListTasks': lacking('to list tasks'),
    'CancelTask': lacking('to cancel a task'),
    'SubscribeToTask': lacking('to cancel the task that it follows'),
    'PushNotificationConfig': lacking('for push notification configs'),
    'GetExtendedAgentCard': lacking('for the extended card'),
    'Errors/TaskNotFound': not_found,
    'Errors/NotCancelable': lacking('to cancel a task'),
    'Headers': headers,
    'Extensions': lacking('to ask for extensions'),
}

if __name__ == '__main__':
    main(Framework, {name: OWN[name] for name in OPERATIONS})

"""Calls an agent by the client of a2a-sdk 1.x, as documented: the card at a base URL, and a client made from it.

caller.py URL send TEXT        one call; prints the texts of the answer
caller.py URL stream TEXT      prints each event: what it is, and its text
caller.py URL often SECONDS    a call `who` every SECONDS, for ever; a JSON line for each
"""

import asyncio
import json
import sys
import time
import uuid

import httpx
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.types import a2a_pb2 as pb

PATIENCE = 20.0  # seconds that a call may take


def request(text: str) -> pb.SendMessageRequest:
    """A message of one text part."""
    return pb.SendMessageRequest(
        message=pb.Message(message_id=str(uuid.uuid4()), role=pb.ROLE_USER, parts=[pb.Part(text=text)])
    )


def words(one: pb.StreamResponse) -> tuple[str, str]:
    """What an answer or event is, and its text."""
    kind = one.WhichOneof('payload')
    match kind:
        case 'message':
            parts = one.message.parts
        case 'task':
            parts = [part for artifact in one.task.artifacts for part in artifact.parts]
        case 'artifact_update':
            parts = one.artifact_update.artifact.parts
        case _:
            parts = one.status_update.status.message.parts
    return kind, ' '.join(part.text for part in parts if part.text)


async def often(client, pause: float) -> None:
    """Calls and tells, for ever."""
    while True:
        began = time.time()
        try:
            answers = [words(one)[1] async for one in client.send_message(request('who'))]
            said = {'who': ' '.join(answers)}
        except Exception as error:  # whatever the SDK raises, the caller has not been answered
            said = {'error': f'{type(error).__name__}: {error}'}
        print(json.dumps({'at': began, 'took': round(time.time() - began, 3)} | said), flush=True)
        await asyncio.sleep(max(0.0, began + pause - time.time()))


async def main(url: str, what: str, text: str) -> None:
    """Does what the command line says."""
    async with httpx.AsyncClient(timeout=PATIENCE) as http:
        card = await A2ACardResolver(http, url).get_agent_card()
        client = ClientFactory(ClientConfig(streaming=what == 'stream', httpx_client=http)).create(card)
        if what == 'often':
            await often(client, float(text))
        async for one in client.send_message(request(text)):
            kind, said = words(one)
            print(f'{kind}: {said}' if what == 'stream' else said, flush=True)


if __name__ == '__main__':
    asyncio.run(main(*sys.argv[1:4]))

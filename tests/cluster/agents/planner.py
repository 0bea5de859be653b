"""The interop agent on a2a-sdk 1.x at the port that PORT names, on every address; it also says `who` it is."""

import asyncio
import os
import socket

import agent
from a2a.helpers import new_text_part

PORT = int(os.environ['PORT'])


async def who(self, context, queue):
    """Answers with the name of the pod."""
    await queue.enqueue_event(agent.answer(context, [new_text_part(socket.gethostname())]))


agent.Executor.do_who = who
agent.listener = lambda: (socket.create_server(('0.0.0.0', PORT)), f'http://127.0.0.1:{PORT}')
asyncio.run(agent.main('1.0'))

"""The interop agent on a2a-sdk 0.3.x at the port that PORT names, on every address; it also says `who` it is."""

import asyncio
import os
import socket

import agent
import executor_03
from a2a.types import Part, TextPart

PORT = int(os.environ['PORT'])


async def who(self, context, queue):
    """Answers with the name of the pod."""
    await queue.enqueue_event(executor_03.answer(context, [Part(root=TextPart(text=socket.gethostname()))]))


executor_03.Executor.do_who = who
agent.listener = lambda: (socket.create_server(('0.0.0.0', PORT)), f'http://127.0.0.1:{PORT}')
asyncio.run(agent.main())

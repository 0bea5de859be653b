"""The interop agent on Semantic Kernel: a ChatCompletionAgent behind an a2a-sdk 0.3 executor, as such agents are made.

There is no model here: its place is taken by a chat service of ours, through the framework's own base class for them.
What the agent says comes from the framework; what it has no words for (files, states) is the executor's. As is usual
with it, only JSON-RPC is served, and there is neither a push notification store nor an extended card.
"""

import asyncio

from a2a.server.agent_execution import RequestContext
from a2a.server.apps import A2AStarletteApplication
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.tasks import InMemoryTaskStore
from a2a.types import AgentCapabilities, AgentCard, AgentExtension, AgentSkill, Part, TextPart
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.chat_completion_client_base import ChatCompletionClientBase
from semantic_kernel.contents import AuthorRole, ChatMessageContent, StreamingChatMessageContent

from executor_03 import STEP, Executor, answer, first_text
from listen import dialect, listener, serve
from words import EXTENSION


class Parrot(ChatCompletionClientBase):
    """A chat service that says what it is told, and counts when it streams."""

    async def _inner_get_chat_message_contents(self, chat_history, settings):
        said = chat_history.messages[-1].content
        return [ChatMessageContent(role=AuthorRole.ASSISTANT, content=said)]

    async def _inner_get_streaming_chat_message_contents(self, chat_history, settings, function_invoke_attempt=0):
        for n in (1, 2, 3):
            await asyncio.sleep(STEP)
            yield [StreamingChatMessageContent(role=AuthorRole.ASSISTANT, content=f'chunk {n}', choice_index=0)]


class KernelExecutor(Executor):
    """Asks the framework's agent for its words."""

    def __init__(self):
        super().__init__()
        self._agent = ChatCompletionAgent(service=Parrot(ai_model_id='parrot'), name='interop')

    async def _ask(self, words: str) -> str:
        return str((await self._agent.get_response(messages=words)).content)

    async def do_echo(self, context: RequestContext, queue: EventQueue):
        asked = first_text(context.message)
        said = TextPart(text=await self._ask(asked)) if asked else None
        parts = [Part(root=said) if said and part.root.kind == 'text' else part for part in context.message.parts]
        await queue.enqueue_event(answer(context, parts, context.message.metadata))

    async def do_task(self, context, queue, words: str = 'done ü'):
        await super().do_task(context, queue, await self._ask(words))

    async def chunks(self):
        async for said in self._agent.invoke_stream(messages='stream'):
            yield str(said.content)


def agent_card(url: str) -> AgentCard:
    """The card of an agent at this URL."""
    return AgentCard(
        name='interop',
        description='Does what the first word says',
        version='1.0.0',
        url=url,
        capabilities=AgentCapabilities(
            streaming=True, extensions=[AgentExtension(uri=EXTENSION, description='Adds nothing')]
        ),
        default_input_modes=['text/plain', 'application/json'],
        default_output_modes=['text/plain', 'application/json'],
        skills=[AgentSkill(id='obey', name='Obey', description='Obeys', tags=['test'])],
    )


async def main() -> None:
    """Serves JSON-RPC."""
    on, url = listener()
    handler = DefaultRequestHandler(KernelExecutor(), InMemoryTaskStore())
    await serve(A2AStarletteApplication(agent_card(url), handler).build(), on, url)


if __name__ == '__main__':
    dialect('0.3')
    asyncio.run(main())

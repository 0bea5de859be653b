"""The interop agent on a2a-sdk 0.3.x: the SDK's own applications and in-memory stores, only the executor is ours.

It serves JSON-RPC at `/` and HTTP+JSON at `/v1`. The SDK's 0.3 gRPC is no lane.
"""

import asyncio

from a2a.server.apps import A2ARESTFastAPIApplication, A2AStarletteApplication
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.tasks import InMemoryPushNotificationConfigStore, InMemoryTaskStore
from a2a.types import AgentCapabilities, AgentCard, AgentExtension, AgentInterface, AgentSkill

from executor_03 import Executor
from listen import dialect, listener, serve
from words import EXTENSION


def agent_card(url: str, *more: AgentSkill) -> AgentCard:
    """The card of an agent at this URL."""
    return AgentCard(
        name='interop',
        description='Does what the first word says',
        version='1.0.0',
        url=url,
        preferred_transport='JSONRPC',
        additional_interfaces=[
            AgentInterface(transport='JSONRPC', url=url),
            AgentInterface(transport='HTTP+JSON', url=url),
        ],
        capabilities=AgentCapabilities(
            streaming=True,
            push_notifications=True,
            extensions=[AgentExtension(uri=EXTENSION, description='Adds nothing')],
        ),
        supports_authenticated_extended_card=True,
        default_input_modes=['text/plain', 'application/json'],
        default_output_modes=['text/plain', 'application/json'],
        skills=[AgentSkill(id='obey', name='Obey', description='Obeys', tags=['test']), *more],
    )


async def main() -> None:
    """Serves both bindings on one port."""
    on, url = listener()
    handler = DefaultRequestHandler(
        Executor(), InMemoryTaskStore(), push_config_store=InMemoryPushNotificationConfigStore()
    )
    cards = {
        'agent_card': agent_card(url),
        'extended_agent_card': agent_card(
            url, AgentSkill(id='extended', name='Extended', description='For friends', tags=['test'])
        ),
    }
    app = A2ARESTFastAPIApplication(http_handler=handler, **cards).build()
    A2AStarletteApplication(http_handler=handler, **cards).add_routes_to_app(app)
    await serve(app, on, url)


if __name__ == '__main__':
    dialect('0.3')
    asyncio.run(main())

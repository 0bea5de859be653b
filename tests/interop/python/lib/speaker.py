"""What the operations need of a client. Each SDK line implements it with its official client classes, in neutral words.

A method that is left out says that the SDK has no such call.
"""

from collections.abc import AsyncIterator

from words import Chunk, Message, Status, Target, Task, Unsupported

Event = Task | Message | Status | Chunk


class Speaker:
    """A client of one agent, in one binding and dialect."""

    def __init__(self, target: Target):
        self.target = target

    async def open(self) -> None:
        """Resolves the card and makes the client."""
        raise NotImplementedError

    async def close(self) -> None:
        """Lets go of connections."""

    def card(self) -> dict:
        """`{'name': …, 'bindings': […], 'skills': [ids]}` of the card; the bindings of the wanted dialect."""
        raise NotImplementedError

    async def send(self, parts, *, metadata=None, task=None, blocking=True, headers=None, extensions=None):
        """Sends a message, without streaming; the answer is a Task or a Message."""
        raise Unsupported('the client cannot send without streaming')

    def stream(self, parts) -> AsyncIterator[Event]:
        """Sends a message and gives the events of the answer."""
        raise Unsupported('the client has no streaming')

    async def get_task(self, task_id: str, history: int | None = None) -> Task:
        """Asks for a task."""
        raise Unsupported('the client has no GetTask')

    async def list_tasks(self, context: str) -> list[str]:
        """The ids of the tasks of a context."""
        raise Unsupported('the client has no ListTasks')

    async def cancel(self, task_id: str) -> Task:
        """Cancels a task."""
        raise Unsupported('the client has no CancelTask')

    def subscribe(self, task_id: str) -> AsyncIterator[Event]:
        """Follows a task that exists."""
        raise Unsupported('the client has no SubscribeToTask')

    async def push_create(self, task_id: str, config: dict) -> dict:
        """Registers a webhook, `{'id', 'url', 'token'}`."""
        raise Unsupported('the client has no call to create a push notification config')

    async def push_get(self, task_id: str, config_id: str) -> dict:
        """Asks for one webhook."""
        raise Unsupported('the client has no call to get a push notification config')

    async def push_list(self, task_id: str) -> list[dict]:
        """All webhooks of a task."""
        raise Unsupported('the client has no call to list push notification configs')

    async def push_delete(self, task_id: str, config_id: str) -> None:
        """Removes a webhook."""
        raise Unsupported('the client has no call to delete a push notification config')

    async def extended_card(self) -> dict:
        """The card for callers who are known, as `card` gives it."""
        raise Unsupported('the client has no GetExtendedAgentCard')

    def error(self, error: BaseException) -> str:
        """What an error is in the SDK's own words: `TaskNotFound`, `TaskNotCancelable`, or '' for any other."""
        raise NotImplementedError

"""Neutral words for what A2A says, so that the operations are written once for every Python client.

A part is `{'text': …}`, `{'data': …}`, `{'raw': bytes, 'name': …, 'type': …}` or `{'url': …, 'name': …, 'type': …}`;
states are spelled as in 0.3 (`input-required`).
"""

from dataclasses import dataclass, field

EXTENSION = 'urn:interop:ext'
BINARY = b'\x00\x01\xfe\xff'


class Unsupported(Exception):
    """The SDK has no API for it; the text says what is missing."""


@dataclass
class Target:
    """One agent to call, and how."""

    base: str
    binding: str
    dialect: str
    seconds: float


@dataclass
class Message:
    """An answer that is a message, and a message of an answer."""

    parts: list[dict]
    metadata: dict


@dataclass
class Task:
    """A task as far as the operations look at it; `text` is that of the status message."""

    id: str
    context: str
    state: str
    text: str
    artifacts: list[dict] = field(default_factory=list)  # {'name': …, 'parts': […]}
    history: int = 0


@dataclass
class Status:
    """A status update of a stream."""

    state: str
    text: str


@dataclass
class Chunk:
    """An artifact update of a stream."""

    parts: list[dict]


def text(value: str) -> dict:
    """A part of text."""
    return {'text': value}


def data(value) -> dict:
    """A part of JSON."""
    return {'data': value}


def raw(content: bytes, name: str = '', kind: str = '') -> dict:
    """A file by its bytes."""
    return {'raw': content, 'name': name, 'type': kind}


def url(value: str, name: str = '', kind: str = '') -> dict:
    """A file by its URI."""
    return {'url': value, 'name': name, 'type': kind}


def joined(parts: list[dict]) -> str:
    """The texts of parts."""
    return ''.join(part.get('text', '') for part in parts)

"""Serves an ASGI application on a free port of 127.0.0.1 and says where, as the interop contract wants it."""

import argparse
import asyncio
import contextlib
import json
import socket

import uvicorn


def dialect(*known: str) -> str:
    """The dialect that the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--dialect', required=True, choices=known)
    return parser.parse_args().dialect


def listener() -> tuple[socket.socket, str]:
    """A socket on a free port, and the base URL that it gives."""
    made = socket.create_server(('127.0.0.1', 0))
    return made, f'http://127.0.0.1:{made.getsockname()[1]}'


async def serve(app, on: socket.socket, url: str, grpc: str | None = None) -> None:
    """Serves until SIGTERM; the line with the addresses is printed when calls are accepted."""
    server = uvicorn.Server(uvicorn.Config(app, log_level='warning', timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve(sockets=[on]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    print(json.dumps({'url': url, 'grpc': grpc}), flush=True)
    with contextlib.suppress(asyncio.CancelledError):
        await serving

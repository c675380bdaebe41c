"""The peer: uWebSockets, by its binding for Python, `socketify`: an event loop in C++ that calls Python for a message.

    python benchmarks/peers/uws/server.py

The path says what a room does with a message, as in ../bare/bare.c. A broadcast is uWebSockets' own `publish` of a
socket, which leaves out that socket; socketify's method of that name does not, so the function below it is called.
"""

from __future__ import annotations

import signal
from collections import Counter
from typing import Any

from socketify import App, AppListenOptions, OpCode
from socketify.native import lib

QUEUE_BYTES = 4 * 1024 * 1024
counts: Counter[str] = Counter()


def upgrade(response: Any, request: Any, context: Any) -> None:
    heads = [request.get_header(f"sec-websocket-{name}") for name in ("key", "protocol", "extensions")]
    response.upgrade(*heads, context, f"{request.get_url()} {request.get_query('room')}")


def enter(socket: Any) -> None:
    socket.subscribe(socket.get_user_data())


def echo(socket: Any, message: str, opcode: int) -> None:
    socket.send(message, opcode)


def broadcast(socket: Any, message: str, opcode: int) -> None:
    topic, payload = socket.get_user_data().encode(), message.encode()
    lib.uws_ws_publish_with_options(
        0,
        socket.ws,
        topic,
        len(topic),
        payload,
        len(payload),
        int(OpCode.TEXT),
        False,  # no TLS, not compressed
    )


def count(response: Any, request: Any) -> None:
    room = request.get_query("room")
    counts[room] += 1
    response.end(str(counts[room]))


def sockets(on_message: Any) -> dict[str, Any]:
    bounds = {"max_payload_length": 65536, "idle_timeout": 0, "max_backpressure": QUEUE_BYTES}
    return {"compression": 0, "upgrade": upgrade, "open": enter, "message": on_message, **bounds}


app = App()
app.ws("/echo", sockets(echo))
app.ws("/broadcast", sockets(broadcast))
app.get("/count", count)
signal.signal(signal.SIGTERM, lambda *_: app.close())
app.listen(AppListenOptions(port=0, host="127.0.0.1"), lambda at: print(f"http://127.0.0.1:{at.port}", flush=True))
app.run()

"""Durable objects for Python, on your own machines.

```python
from roost import DurableObject, Response, WebSocketPair

class Room(DurableObject):
    async def fetch(self, request):
        client, server = WebSocketPair()
        self.ctx.accept_web_socket(server)
        return Response(None, status=101, web_socket=client)

    async def web_socket_message(self, ws, message):
        self.ctx.broadcast(message, exclude=ws)

async def fetch(request, env):
    return await env.ROOM.get_by_name(request.query.get("room", "default")).fetch(request)
```

Save it as `app.py` and run `roost dev`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from roost import errors
from roost.alarm_info import AlarmInfo
from roost.codec import register
from roost.env import Env
from roost.errors import DurableObjectAbort
from roost.headers import Headers
from roost.host.entrypoint import WorkerEntrypoint
from roost.host.namespace import Namespace, Stub
from roost.host.network import fetch
from roost.ids import ObjectId
from roost.objects.auto_response import WebSocketRequestResponsePair
from roost.objects.context import DurableObjectState
from roost.objects.durable_object import DurableObject
from roost.objects.periodic import Periodic
from roost.objects.shutdown import ShutdownInfo
from roost.objects.web_socket import WebSocket
from roost.objects.web_socket_pair import WebSocketPair
from roost.objects.write_behind import WriteBehind
from roost.request import Request
from roost.response import Response
from roost.storage.alarms.alarms import FailedAlarm
from roost.storage.sql.cursor import Cursor
from roost.storage.storage import Storage
from roost.storage.transaction import Transaction

if TYPE_CHECKING:
    from roost.node.serve import serve

__all__ = [
    "AlarmInfo",
    "Cursor",
    "DurableObject",
    "DurableObjectAbort",
    "DurableObjectState",
    "Env",
    "FailedAlarm",
    "Headers",
    "Namespace",
    "ObjectId",
    "Periodic",
    "Request",
    "Response",
    "ShutdownInfo",
    "Storage",
    "Stub",
    "Transaction",
    "WebSocket",
    "WebSocketPair",
    "WebSocketRequestResponsePair",
    "WorkerEntrypoint",
    "WriteBehind",
    "errors",
    "fetch",
    "register",
    "serve",
]


def __getattr__(name: str) -> Any:
    # `serve` brings gateway and storage with it, which an app does not need in order to be imported.
    if name == "serve":
        from roost.node.serve import serve

        return serve
    raise AttributeError(f"module 'roost' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

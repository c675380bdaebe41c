"""The peer: durable-actors in its local mode: a runtime in Rust, and a process of Python for every actor.

The same objects as in ../../apps/questions.py. An actor's methods are serialized, its `persisted` fields are stored
before what it sent leaves.
"""

from __future__ import annotations

from durable_actors import ActorSocket, AsyncActor, persisted


class Echo(AsyncActor[None, str, str, str]):
    async def on_message(self, socket: ActorSocket[None, str, str], message: str) -> None:
        socket.send(message)


class Broadcast(AsyncActor[None, str, str, str]):
    async def on_message(self, socket: ActorSocket[None, str, str], message: str) -> None:
        await self.broadcast(message, except_ids=(socket.id,))


class Storing(AsyncActor[None, str, str, str]):
    last: str = persisted("")

    async def on_message(self, socket: ActorSocket[None, str, str], message: str) -> None:
        self.last = message
        await self.broadcast(message, except_ids=(socket.id,))

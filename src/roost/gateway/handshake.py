"""The client's half of the WebSocket opening handshake, checked (RFC 6455, section 4.2.1), and the server's answer."""

from __future__ import annotations

import binascii
import hashlib
import re
from http import HTTPStatus

import msgspec

from roost.gateway.extensions import Extension, read_extensions
from roost.gateway.http1 import RequestHead
from roost.gateway.refusal import Refusal
from roost.gateway.responses import encode_head, without_ours

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


class Offer(msgspec.Struct, frozen=True, gc=False):
    """What the client of a well-formed handshake offers."""

    key: str
    protocols: tuple[str, ...]
    extensions: tuple[Extension, ...] = ()


def read_offer(head: RequestHead) -> Offer | None:
    """The offer of a request to switch to WebSocket; None for any other request. Raises Refusal."""
    if "websocket" not in head.tokens("upgrade"):
        return None
    if head.method != "GET":
        raise _refused(f"a WebSocket handshake is a GET request, this is a {head.method}")
    if head.minor != 1:
        raise _refused("a WebSocket handshake is an HTTP/1.1 request")
    if "upgrade" not in head.tokens("connection"):
        raise _refused("a WebSocket handshake has the header Connection: Upgrade")
    if head.chunked or head.content_length:
        raise _refused("a WebSocket handshake has no body")
    if head.values("sec-websocket-version") != ["13"]:
        raise _wrong_version(head)
    return Offer(_check_key(head.values("sec-websocket-key")), _check_protocols(head), _check_extensions(head))


def accept_value(key: str) -> str:
    """What proves that the key was understood."""
    digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    return binascii.b2a_base64(digest, newline=False).decode("ascii")


def chosen_protocol(offer: Offer, headers: list[tuple[str, str]]) -> str:
    """The subprotocol that the answer names, empty for none. Raises ValueError where it was not offered."""
    chosen = [value.strip() for name, value in headers if name.lower() == "sec-websocket-protocol"]
    if not chosen:
        return ""
    if len(chosen) > 1 or chosen[0] not in offer.protocols:
        offered = ", ".join(offer.protocols) or "none"
        raise ValueError(f"the answer chose the subprotocol {', '.join(chosen)!r}; offered: {offered}")
    return chosen[0]


def encode_acceptance(offer: Offer, headers: list[tuple[str, str]], date: str, extensions: str = "") -> bytes:
    """The response with status 101. Extensions are agreed on here, so the application's answer cannot name any."""
    ours = ("sec-websocket-accept", "sec-websocket-extensions", "content-length", "date")
    passed_on = [line for line in without_ours(headers) if line[0].lower() not in ours]
    switch = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept_value(offer.key))]
    if extensions:
        switch.append(("Sec-WebSocket-Extensions", extensions))
    return encode_head(101, [*switch, ("Date", date), *passed_on])


def _check_key(values: list[str]) -> str:
    try:
        sound = len(values) == 1 and len(binascii.a2b_base64(values[0], strict_mode=True)) == 16
    except (binascii.Error, ValueError):
        sound = False
    if not sound:
        raise _refused("a WebSocket handshake has one Sec-WebSocket-Key of 16 bytes in base64")
    return values[0]


def _check_protocols(head: RequestHead) -> tuple[str, ...]:
    lines = head.values("sec-websocket-protocol")
    if not lines:
        return ()
    protocols = tuple(part.strip(" \t") for part in ",".join(lines).split(","))
    if len(set(protocols)) != len(protocols) or not all(_TOKEN.fullmatch(name) for name in protocols):
        raise _refused("Sec-WebSocket-Protocol must be a list of different tokens")
    return protocols


def _check_extensions(head: RequestHead) -> tuple[Extension, ...]:
    try:
        return read_extensions(head.values("sec-websocket-extensions"))
    except ValueError as error:
        raise _refused(f"Sec-WebSocket-Extensions is malformed: {error}") from None


def _wrong_version(head: RequestHead) -> Refusal:
    came = ", ".join(head.values("sec-websocket-version")) or "none"
    message = f"the WebSocket version supported is 13, the handshake asks for {came[:40]}"
    return Refusal(
        HTTPStatus.UPGRADE_REQUIRED,
        "WebSocketVersion",
        message,
        headers=(("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")),
        close=True,
    )


def _refused(message: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, "WebSocketHandshake", message, close=True)

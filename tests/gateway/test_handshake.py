"""RFC 6455, sections 4.2.1 and 4.2.2."""

from __future__ import annotations

import pytest
from tests.gateway.raw_client import KEY, handshake
from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from roost.gateway.handshake import Offer, accept_value, chosen_protocol, encode_acceptance, read_offer
from roost.gateway.http1 import RequestHead, parse_head
from roost.gateway.refusal import Refusal
from roost.limits import DEFAULTS


def head(data: bytes) -> RequestHead:
    return parse_head(data, DEFAULTS)


def refused(data: bytes) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read_offer(head(data))
    return caught.value


def test_the_example_of_the_rfc() -> None:  # section 1.3
    assert accept_value(KEY) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_a_good_handshake() -> None:
    offer = read_offer(head(handshake(connection="keep-alive, upgrade", upgrade="WebSocket")))
    assert offer == Offer(KEY, ())


def test_other_requests_are_no_handshakes() -> None:
    assert read_offer(head(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")) is None
    assert read_offer(head(handshake(upgrade="h2c"))) is None


@pytest.mark.parametrize(
    "data",
    [
        handshake(method="POST"),
        handshake(version="1.0"),
        handshake(without=("connection",)),
        handshake(connection="close"),
        handshake(without=("sec-websocket-key",)),
        handshake(sec_websocket_key="short"),
        handshake(sec_websocket_key="dGhlIHNhbXBsZSBub25jZQ"),
        handshake(sec_websocket_key="!!!!IHNhbXBsZSBub25jZQ=="),
        handshake(sec_websocket_key="dGhlIHNhbXBsZSBub25jZSEh"),
        handshake(content_length="1"),
        handshake(transfer_encoding="chunked"),
        handshake(sec_websocket_protocol="a, a"),
        handshake(sec_websocket_protocol="a,,b"),
        handshake(sec_websocket_protocol="a b"),
        handshake(sec_websocket_extensions="a b"),
        handshake(sec_websocket_extensions="permessage-deflate; ="),
    ],
)
def test_a_malformed_handshake_is_400(data: bytes) -> None:
    refusal = refused(data)
    assert (refusal.status, refusal.name) == (400, "WebSocketHandshake")


@pytest.mark.parametrize("data", [handshake(sec_websocket_version="8"), handshake(without=("sec-websocket-version",))])
def test_another_version_is_426_and_hears_which(data: bytes) -> None:  # section 4.4
    refusal = refused(data)
    assert refusal.status == 426
    assert ("Sec-WebSocket-Version", "13") in refusal.headers


def test_the_acceptance_is_what_other_clients_expect() -> None:
    client = ClientProtocol(parse_uri("ws://test/"), subprotocols=["chat", "other"])  # type: ignore[list-item]
    client.send_request(client.connect())
    offer = read_offer(head(b"".join(client.data_to_send())))
    assert offer is not None
    headers = [("Sec-WebSocket-Protocol", "chat"), ("Sec-WebSocket-Extensions", "x"), ("Upgrade", "h2c"), ("X-A", "1")]
    client.receive_data(encode_acceptance(offer, headers, "Tue, 24 Nov 2026 08:00:00 GMT"))
    client.events_received()
    assert client.handshake_exc is None
    assert client.state.name == "OPEN"
    assert client.subprotocol == "chat"


def test_a_subprotocol_must_have_been_offered() -> None:
    offer = Offer(KEY, ("a", "b"))
    assert chosen_protocol(offer, []) == ""
    assert chosen_protocol(offer, [("sec-websocket-protocol", "b")]) == "b"
    for chosen in ([("Sec-WebSocket-Protocol", "c")], [("Sec-WebSocket-Protocol", "a")] * 2):
        with pytest.raises(ValueError, match="offered: a, b"):
            chosen_protocol(offer, chosen)


def test_extensions_are_offered_in_any_number_of_headers() -> None:
    data = handshake(sec_websocket_extensions="permessage-deflate; client_max_window_bits, other")
    offer = read_offer(head(data.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: third\r\n\r\n")))
    assert offer is not None
    assert [(one.name, one.parameters) for one in offer.extensions] == [
        ("permessage-deflate", (("client_max_window_bits", None),)),
        ("other", ()),
        ("third", ()),
    ]


def test_the_answer_names_what_was_agreed_on_and_never_what_the_application_says() -> None:
    headers = [("Sec-WebSocket-Extensions", "invented")]
    assert b"xtensions" not in encode_acceptance(Offer(KEY, ()), headers, "now")
    answer = encode_acceptance(Offer(KEY, ()), headers, "now", "permessage-deflate")
    assert b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n" in answer
    assert b"invented" not in answer

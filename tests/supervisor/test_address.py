from __future__ import annotations

import contextlib
import socket

import pytest

from roost.supervisor.address import Address, AddressError, reserve


def test_port_zero_takes_a_free_one_that_all_sockets_share() -> None:
    with contextlib.closing(reserve("127.0.0.1", 0, 3)) as address:
        assert address.port > 0
        assert [each.getsockname() for each in address.sockets] == [("127.0.0.1", address.port)] * 3
        assert address.url() == f"http://127.0.0.1:{address.port}"


def test_a_client_that_comes_before_a_gateway_accepts_waits_and_is_not_refused() -> None:
    with (
        contextlib.closing(reserve("127.0.0.1", 0, 1)) as address,
        socket.create_connection(("127.0.0.1", address.port)) as client,
    ):
        address.sockets[0].setblocking(True)
        accepted, peer = address.sockets[0].accept()
        accepted.close()
        assert peer == client.getsockname()


def test_a_port_in_use_is_an_error_with_a_hint() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressError, match=rf"^127.0.0.1 port {port} is in use by another process; .*--port"):
            reserve("127.0.0.1", port, 1)


def test_a_port_that_another_roost_shares_among_its_gateways_is_in_use_too() -> None:
    with contextlib.closing(reserve("127.0.0.1", 0, 2)) as first, pytest.raises(AddressError, match="is in use"):
        reserve("127.0.0.1", first.port, 2)


def test_a_port_is_free_again_once_it_is_given_back() -> None:
    first = reserve("127.0.0.1", 0, 2)
    with socket.create_connection(("127.0.0.1", first.port)):
        first.close()
        first.close()
    reserve("127.0.0.1", first.port, 2).close()


def test_a_host_that_is_not_this_machine_is_a_clear_error() -> None:
    with pytest.raises(AddressError, match=r"192\.0\.2\.1 is not an address of this machine"):
        reserve("192.0.2.1", 0, 1)
    with pytest.raises(AddressError, match=r"the host 'no such name' is no name or address"):
        reserve("no such name", 0, 1)


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "http://127.0.0.1:"), ("::1", "http://[::1]:"), ("::", "http://[::1]:"), ("x.org", "http://x.org:")],
)
def test_the_url_is_one_that_a_browser_takes(host: str, url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        assert Address(host, [bound]).url() == f"{url}{bound.getsockname()[1]}"
        assert Address(host, [bound]).url("https").startswith("https://")

from __future__ import annotations

from pathlib import Path

import pytest

from roost.config import Tls
from roost.errors import ConfigurationError
from roost.node.gateway_process import tls_context


def test_a_certificate_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    tls = Tls(certfile=str(tmp_path / "c.pem"), keyfile=str(tmp_path / "k.pem"))
    with pytest.raises(ConfigurationError, match=r"`tls`: the certificate .*c\.pem cannot be used .*No such file"):
        tls_context(tls)
    (tmp_path / "c.pem").write_text("no certificate")
    (tmp_path / "k.pem").write_text("no key")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        tls_context(tls)

from __future__ import annotations

import re
import subprocess
import sys

SCRIPT = """
import logging, sys
from roost.node.logs import log_to_stderr
log_to_stderr("host 3", sys.argv[1])
logging.getLogger("app").info("a line")
logging.getLogger("app").warning("another")
logging.getLogger("asyncio").info("never")
logging.getLogger("httpx").info("never")
"""


def logged(level: str) -> list[str]:
    ran = subprocess.run([sys.executable, "-c", SCRIPT, level], capture_output=True, text=True, check=True)
    assert ran.stdout == ""
    return ran.stderr.splitlines()


def test_every_line_names_its_process() -> None:
    first, second = logged("info")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d [\d:,]+ INFO host 3: app: a line", first)
    assert second.endswith("WARNING host 3: app: another")


def test_the_level_is_that_of_the_settings() -> None:
    (line,) = logged("warning")
    assert line.endswith("another")

"""`python -m roost` is the command `roost`."""

from __future__ import annotations

import sys

from roost.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

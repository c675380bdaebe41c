"""`python -m roost.node host|gateway|backup`: a child of the supervisor, which says the rest over standard input."""

from __future__ import annotations

import sys

from roost.node.process import main

if __name__ == "__main__":
    sys.exit(main())

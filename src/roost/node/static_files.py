"""The static files that the settings name."""

from __future__ import annotations

from roost.assets import Assets
from roost.config import Settings


def assets_of(settings: Settings) -> Assets | None:
    """Raises ConfigurationError when they are not there."""
    chosen = settings.assets
    return Assets(chosen.directory, index=chosen.index, not_found=chosen.not_found) if chosen else None

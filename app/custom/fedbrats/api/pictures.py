"""Pictures need matplotlib, which hospitals that only train do without."""

from __future__ import annotations

from fedbrats.errors import ConfigurationError


def require_matplotlib(what: str) -> None:
    """Say what needs it before any work is done. Raises: ConfigurationError where it is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ConfigurationError(f"{what} needs matplotlib: pip install matplotlib") from None

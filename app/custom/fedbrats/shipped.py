"""Where the app's configuration, the jobs and POC's project are: in the repository, or inside an installed wheel."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from fedbrats.errors import ConfigurationError

PACKAGE_DIR = Path(str(files("fedbrats"))).resolve()  # jobs with code copy it, so it must be a folder


def shipped_dir() -> Path:
    """Return the folder that holds `app/config`, `jobs` and `poc`.

    Raises: ConfigurationError where the package was shipped inside a job, which carries none of them.
    """
    repository = PACKAGE_DIR.parents[2]
    for folder in (PACKAGE_DIR / "shipped", repository):
        if (folder / "app" / "config").is_dir() and (folder / "jobs").is_dir():
            return folder
    raise ConfigurationError(
        "this copy of fedbrats has no jobs beside it; install the wheel that your consortium handed out to build jobs"
    )

"""Which rounds of a job a site has padded an update of: such an update is never padded again.

    PERSONAL_DIR/JOB/SITE/padded.json              how often, by round

Two sums over different sites of the same updates differ by one site's update. So a round that is repeated, after a
restart of the server too, is trained on other batches.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from fedbrats.atomic import write_json_atomic
from fedbrats.errors import DataError

PADDED_FILE = "padded.json"


def times_padded(folders: Iterable[Path], round_number: int) -> int:
    """How often an update of a round was padded, in this job and in those that it goes on from.

    Args:
        folders: of these jobs at the site.

    Raises: DataError for a record that cannot be read.
    """
    return sum(_read(folder).get(str(round_number), 0) for folder in folders)


def note_padded(folder: Path, round_number: int) -> None:
    """Write down, before it leaves, that an update of a round is padded. Raises: DataError, OSError."""
    before = _read(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json_atomic(folder / PADDED_FILE, {**before, str(round_number): before.get(str(round_number), 0) + 1})


def _read(folder: Path) -> dict[str, int]:
    path = folder / PADDED_FILE
    try:
        return {str(number): int(times) for number, times in json.loads(path.read_text(encoding="utf-8")).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise DataError(f"{path} cannot be read ({error!r:.200}); restore it, or start a new job") from None

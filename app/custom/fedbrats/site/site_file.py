"""What belongs to a hospital and never to a job: its data, its caches, its device, its rules.

The facts stand in `local/fedbrats.json` of the site's startup kit. Provisioning writes the file, the hospital edits
it; a job has no way to name a path on a hospital's disk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from fedbrats.atomic import write_json_atomic
from fedbrats.errors import ConfigurationError

SITE_FILE = "fedbrats.json"
# The server's entries in its own site file.
REGISTER, MLFLOW, STATE_DIR = "registered_cases", "mlflow_uri", "state_dir"
MOST = 100_000  # threads, workers, cases: more is a slip of the finger
MOST_VOXELS = 2**25  # of a prepared case: the whole grid of a BraTS scan at 0.65 mm


@dataclass(frozen=True)
class SiteFacts:
    """The facts of one site.

    data_dir: the site's folder of cases with its `datalist.json`.
    cache_dir: where prepared cases are kept; may be shared by several sites of one machine.
    personal_dir: where personal weights are kept, in one folder a job; they stay at the site.
    device: `auto` (CUDA where there is one, else CPU), `cpu`, `cuda` or `cuda:N`.
    threads: CPU threads of training; None lets PyTorch decide.
    workers: threads that prepare cases at the start of a job.
    min_cases: metrics that describe fewer cases than this, and updates of fewer, are not sent.
    round_validation_cases: on how many validation cases a model is tried in every round; None for all. The last model
        is always tried on all. For a site with hundreds, whose validation would hold up every round.
    share_personal_models: whether the job `evaluate` may take this site's personal weights to the other sites.
    max_bad_share: the largest share of the site's cases that may be unusable; with more, the site stops training.
    max_evaluations: how many evaluations of models the site tells of a day, in all jobs; None for any number.
    max_hours: how long a job may run here; after that the site answers it no more. None for any time.
    max_prepared_voxels: the largest prepared case that a job may ask for; one voxel takes 11 bytes.
    cache_gb: what the prepared cases of all jobs may take on the disk; the least recently used make room. None for no
        limit.
    """

    data_dir: Path
    cache_dir: Path
    personal_dir: Path
    device: str = "auto"
    threads: int | None = None
    workers: int = 1
    min_cases: int = 1
    round_validation_cases: int | None = None
    share_personal_models: bool = False
    max_bad_share: float = 0.5
    max_evaluations: int | None = None
    max_hours: float | None = None
    max_prepared_voxels: int = MOST_VOXELS
    cache_gb: float | None = None


def read_site_facts(local_dir: Path, site: str) -> SiteFacts:
    """Read `fedbrats.json` in a kit's `local` folder; `{site}` in a path stands for the site's name.

    Relative paths are relative to the kit, so that a kit can be moved with its caches.

    Raises: ConfigurationError that names the file, the entry and what was expected.
    """
    document = read_site_document(local_dir, site)
    if document is None:
        raise ConfigurationError(
            f"site {site} has no {SITE_FILE} in its kit's local folder ({local_dir}), so its data folder is unknown: "
            f"write one with `fedbrats site KIT --data FOLDER`"
        )
    return parse_site_facts(document, site, base=local_dir.parent, source=str(local_dir / SITE_FILE))


def read_site_document(local_dir: Path, site: str) -> Any:
    """Return a kit's site file as it stands; None where there is none. Raises: ConfigurationError."""
    path = local_dir / SITE_FILE
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"site {site}: cannot read {path}: {error}") from None


def parse_site_facts(document: Any, site: str, *, base: Path, source: str) -> SiteFacts:
    """Check the entries of a site file and resolve its paths against `base`."""
    if not isinstance(document, dict):
        raise ConfigurationError(f"site {site}: {source} must be a JSON object, not {type(document).__name__}")
    # In FLARE's simulator, sites and server share a file.
    known = {field.name for field in fields(SiteFacts)} | {REGISTER, MLFLOW, STATE_DIR}
    unknown = sorted(set(document) - known)
    if unknown:
        raise ConfigurationError(
            f"site {site}: {source} has unknown entries {', '.join(unknown)}; known are {', '.join(sorted(known))}"
        )

    def folder(name: str) -> Path:
        value = document.get(name)
        if not isinstance(value, str) or not value or not value.isprintable():
            raise ConfigurationError(f"site {site}: {source} needs {name}, the path of a folder, but has {value!r}")
        return (base / value.replace("{site}", site)).expanduser()

    def whole_number(name: str, default: int | None, most: int = MOST) -> int | None:
        value = document.get(name, default)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most):
            raise ConfigurationError(
                f"site {site}: {source}: {name} must be a whole number from 1 to {most}, not {value!r:.100}"
            )
        return value

    def positive(name: str) -> float | None:
        value = document.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value > 0):
            raise ConfigurationError(f"site {site}: {source}: {name} must be a number above 0, not {value!r:.100}")
        return value

    device = document.get("device", "auto")
    if not isinstance(device, str):
        raise ConfigurationError(f"site {site}: {source}: device must be auto, cpu, cuda or cuda:N, not {device!r}")
    shares = document.get("share_personal_models", False)
    if not isinstance(shares, bool):
        raise ConfigurationError(f"site {site}: {source}: share_personal_models must be true or false, not {shares!r}")
    share = document.get("max_bad_share", SiteFacts.max_bad_share)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise ConfigurationError(f"site {site}: {source}: max_bad_share must be a number from 0 to 1, not {share!r}")
    min_cases = whole_number("min_cases", 1) or 1
    round_cases = whole_number("round_validation_cases", None)
    if round_cases is not None and round_cases < min_cases:
        raise ConfigurationError(
            f"site {site}: {source}: round_validation_cases is {round_cases}, fewer than min_cases {min_cases}, below "
            f"which no metric leaves the site; set it to {min_cases} or more"
        )
    return SiteFacts(
        data_dir=folder("data_dir"),
        cache_dir=folder("cache_dir"),
        personal_dir=folder("personal_dir"),
        device=device,
        threads=whole_number("threads", None),
        workers=whole_number("workers", 1) or 1,
        min_cases=min_cases,
        round_validation_cases=round_cases,
        share_personal_models=shares,
        max_bad_share=share,
        max_evaluations=whole_number("max_evaluations", None),
        max_hours=positive("max_hours"),
        max_prepared_voxels=whole_number("max_prepared_voxels", MOST_VOXELS, 2**31) or MOST_VOXELS,
        cache_gb=positive("cache_gb"),
    )


def read_registered_cases(local_dir: Path) -> dict[str, int] | None:
    """Return how many training cases each site has registered with the consortium, from the server's own site file.

    A site that declares more is refused: cases are votes. None where the server keeps no register.

    Raises: ConfigurationError for a register that is there and cannot be used; it must never be taken for none.
    """
    register = _server_entry(local_dir, REGISTER)
    if register is None:
        return None
    source = f"{REGISTER} in the server's {local_dir / SITE_FILE}"
    if not isinstance(register, dict):
        raise ConfigurationError(f"{source} must give every site a whole number from 1, not {register!r:.100}")
    check_register(register, source)
    return register


def check_register(register: Mapping[str, Any], source: str) -> None:
    """Refuse a register that is no limit for some site.

    Raises: ConfigurationError that names `source`, the site and what to do.
    """
    for site, cases in register.items():
        if type(cases) is not int or cases < 1:
            has = "none" if cases is None else f"{cases!r:.100}"
            raise ConfigurationError(
                f"{source}: site {site} needs a whole number from 1, the training cases agreed on with it, and has "
                f"{has}"
            )


def read_mlflow_uri(local_dir: Path) -> str | None:
    """Return the address of the MLflow server that gets the training curves, from the server's own site file."""
    uri = _server_entry(local_dir, MLFLOW)
    if uri is not None and not isinstance(uri, str):
        raise ConfigurationError(
            f"{MLFLOW} in {local_dir / SITE_FILE} must be an address such as http://localhost:5000, not {uri!r}"
        )
    return uri


def read_state_dir(local_dir: Path) -> Path:
    """Where this server keeps the state of its jobs: `state_dir` of its own site file, else `state` in its kit."""
    folder = _server_entry(local_dir, STATE_DIR) or "state"
    if not isinstance(folder, str):
        raise ConfigurationError(f"{STATE_DIR} in {local_dir / SITE_FILE} must be a folder, not {folder!r}")
    return local_dir.parent / folder


def _server_entry(local_dir: Path, name: str) -> Any:
    """An entry of the server's own site file; None where there is no file, or no such entry in it."""
    path = local_dir / SITE_FILE
    try:
        return json.loads(path.read_text(encoding="utf-8")).get(name)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise ConfigurationError(f"the server's {path} cannot be read ({error!r}), and with it its {name}") from None


def write_site_facts(local_dir: Path, document: Mapping[str, Any]) -> Path:
    """Write a kit's site file atomically and return its path."""
    path = local_dir / SITE_FILE
    write_json_atomic(path, dict(document))
    return path

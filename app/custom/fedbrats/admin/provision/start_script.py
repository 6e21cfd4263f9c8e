"""FLARE's scripts of a kit, made to begin with an emptied environment and to say what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from fedbrats.atomic import write_text_atomic
from fedbrats.errors import ConfigurationError
from fedbrats.shipped import shipped_dir

SCRIPT = "sub_start.sh"  # start.sh, containers and POC all run it
MARK = "FEDBRATS_ENVIRONMENT"
# What a participant's processes need of their caller's environment, and nothing that is a secret.
ENVIRONMENT = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "VIRTUAL_ENV"),
    *("LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES", "PYTORCH_ALLOC_CONF"),
    *("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "MKL_NUM_THREADS", "MALLOC_ARENA_MAX", "PYTHONUNBUFFERED"),
    *("NVFL_WORKSPACE", "NVFLARE_CLIENT_OUTCOME_WAIT_TIMEOUT", "NVFLARE_ENABLE_JEMALLOC_PRELOAD"),
)
MORE_NAMES = "environment"  # in a kit's local folder: names of further variables, one a line
SHEBANG = "#!/usr/bin/env bash\n"
PYTHON_PATH = "export PYTHONPATH=/local/custom:$PYTHONPATH\n"
COMMAND = re.compile(r"^ *exec python3 -u -m (nvflare\..*)$", re.MULTILINE)  # FLARE's own, with what it is started with
LOOP = "SECONDS=0\n"  # what begins here is replaced
START, STOP = "start.sh", "stop_fl.sh"
STARTS = "$DIR/sub_start.sh &"
CONSOLE = "console.txt"  # in a kit: what is printed there, where start.sh was run in a terminal
CONSOLE_MIB = 4  # what is longer is put aside
REFUSES = 'echo "Not continue"'


def write_scripts(startup_dir: Path) -> None:
    """Rewrite the scripts of a kit under construction, before its startup folder is signed.

    `sub_start.sh` begins with an emptied environment, and ends with a status and a sentence where the participant
    cannot start (fedbrats.flare.process.start); `start.sh` says so too before it leaves the loop behind, which prints
    nothing into a terminal, and `stop_fl.sh` ends with 1 where it did not stop anything.

    Raises: ConfigurationError where FLARE's scripts are not those that this was written for.
    """
    _rewrite(startup_dir / SCRIPT, _sub_start)
    leave = f'"$DIR/{SCRIPT}" --check || exit $?\n{_part("leave.sh", {"@CONSOLE@": CONSOLE})}  {STARTS}'
    _rewrite(startup_dir / START, lambda text: _replace(text, STARTS, leave))
    _rewrite(startup_dir / STOP, lambda text: _replace(text, REFUSES, f"{REFUSES}\n    exit 1"))


def _sub_start(text: str) -> str:
    head, _, tail = text.partition(LOOP)
    command = COMMAND.search(tail)
    if not text.startswith(SHEBANG) or command is None:
        raise ValueError(SCRIPT)
    begin = _part("begin.sh", {"@NAMES@": " ".join(ENVIRONMENT), "@MORE_NAMES@": MORE_NAMES})
    middle = _replace(head.removeprefix(SHEBANG), PYTHON_PATH, "")
    loop = _part("loop.sh", {"@COMMAND@": command[1], "@CONSOLE@": CONSOLE, "@CONSOLE_MIB@": str(CONSOLE_MIB)})
    return f"{SHEBANG}{begin}\n{middle}\n{loop}"


def _part(name: str, words: Mapping[str, str]) -> str:
    text = (shipped_dir() / "provisioning" / "scripts" / name).read_text(encoding="utf-8")
    for mark, word in words.items():
        text = text.replace(mark, word)
    return text


def _replace(text: str, old: str, new: str) -> str:
    if text.count(old) != 1:
        raise ValueError(old)
    return text.replace(old, new)


def _rewrite(path: Path, change: Callable[[str], str]) -> None:
    """Change a script, which stays as executable as it was."""
    try:
        text, mode = change(path.read_text(encoding="utf-8")), path.stat().st_mode
    except (OSError, ValueError):
        raise ConfigurationError(
            f"{path} is not the start script of the FLARE that fedbrats knows; see pyproject.toml"
        ) from None
    write_text_atomic(path, text)
    path.chmod(mode)

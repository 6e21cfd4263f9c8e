"""FLARE's start script of a kit, made to begin with next to nothing of its caller's environment."""

from __future__ import annotations

from pathlib import Path

from fedbrats.atomic import write_text_atomic
from fedbrats.errors import ConfigurationError

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
BEGIN = f"""\
# fedbrats: what this participant writes is its own. Of the caller's environment only these variables go in, and those
# that local/{MORE_NAMES} names. PYTHONSAFEPATH: the folder from which this is started is not searched for modules.
umask 077
if [[ "${{{MARK}:-}}" != clean ]]; then
  names=({" ".join(ENVIRONMENT)})
  more="$( cd "$( dirname "${{BASH_SOURCE[0]}}" )" >/dev/null 2>&1 && pwd )/../local/{MORE_NAMES}"
  if [[ -f "$more" ]]; then
    while IFS=$' \\t\\r' read -r name || [[ -n "$name" ]]; do
      [[ "$name" =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] && names+=("$name")
    done < "$more"
  fi
  environment=({MARK}=clean PYTHONSAFEPATH=1)
  for name in "${{names[@]}}"; do
    [[ -n "${{!name+set}}" ]] && environment+=("$name=${{!name}}")
  done
  exec env -i "${{environment[@]}}" bash "${{BASH_SOURCE[0]}}" "$@"
fi
"""


def empty_environment(startup_dir: Path) -> None:
    """Rewrite `sub_start.sh` of a kit under construction, before its startup folder is signed.

    Raises: ConfigurationError where FLARE's script is not the one that this was written for.
    """
    path = startup_dir / SCRIPT
    text = path.read_text(encoding="utf-8")
    if not text.startswith(SHEBANG) or PYTHON_PATH not in text:
        raise ConfigurationError(f"{path} is not the start script of the FLARE that fedbrats knows; see pyproject.toml")
    text = text.replace(SHEBANG, SHEBANG + BEGIN, 1).replace(PYTHON_PATH, "")
    mode = path.stat().st_mode
    write_text_atomic(path, text)
    path.chmod(mode)

# fedbrats: what this participant writes is its own. Of the caller's environment only these variables go in, and those
# that local/@MORE_NAMES@ names. PYTHONSAFEPATH: the folder from which this is started is not searched for modules.
umask 077
here="$( cd "$( dirname "${BASH_SOURCE[0]}" )" >/dev/null 2>&1 && pwd )"
if [[ "${FEDBRATS_ENVIRONMENT:-}" != clean ]]; then
  names=(@NAMES@)
  more="$here/../local/@MORE_NAMES@"
  if [[ -f "$more" ]]; then
    while IFS=$' \t\r' read -r name || [[ -n "$name" ]]; do
      [[ "$name" =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] && names+=("$name")
    done < "$more"
  fi
  environment=(FEDBRATS_ENVIRONMENT=clean PYTHONSAFEPATH=1)
  for name in "${names[@]}"; do
    [[ -n "${!name+set}" ]] && environment+=("$name=${!name}")
  done
  # The whole path: this process is told by it from those of other kits.
  exec env -i "${environment[@]}" bash "$here/sub_start.sh" "$@"
fi

# Whether a process lives and has a text on its command line: a number that was noted may be another process's by now.
lives() {
  kill -0 "$1" 2>/dev/null || return 1
  if [[ -r "/proc/$1/cmdline" ]]; then
    tr '\0' ' ' < "/proc/$1/cmdline" | grep -qF -- "$2"
  else
    ps -o args= -p "$1" | grep -qF -- "$2"
  fi
}

# End with 75 where the loop below runs for this kit already.
check_loop() {
  [[ -f "$1/daemon_pid.fl" ]] || return 0
  local loop
  loop="$(cat "$1/daemon_pid.fl")"
  if lives "$loop" "$here/sub_start.sh"; then
    echo "fedbrats: this kit runs on this machine already (process $loop); \`fedbrats stop $1\` stops it" >&2
    exit 75
  fi
}

if [[ "${1:-}" == --check ]]; then
  kit="${NVFL_WORKSPACE:-$( cd "$here/.." && pwd )}"
  check_loop "$kit"
  exec python3 -u -m fedbrats.flare.process.start --check "$kit"
fi

  # fedbrats: what goes on behind a terminal prints nothing there.
  if [[ -t 1 || -t 2 ]]; then
    kit="$( cd "${NVFL_WORKSPACE:-$DIR/..}" && pwd )"
    echo "started; it logs to $kit/log.txt, and \`fedbrats stop $kit\` ends it"
    umask 077
    exec < /dev/null > "$kit/@CONSOLE@" 2>&1
  fi

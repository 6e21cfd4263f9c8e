  # fedbrats: what goes on behind a terminal prints nothing there.
  if [[ -t 1 || -t 2 ]]; then
    kit="$( cd "${NVFL_WORKSPACE:-$DIR/..}" && pwd )"
    console="$kit/@CONSOLE@"
    umask 077
    if ! { : > "$console"; } 2>/dev/null; then
      echo "fedbrats: $console cannot be written, so what is printed is lost; log.txt has warnings and errors too" >&2
      console=/dev/null
    fi
    echo "started; it logs to $kit/log.txt, and \`fedbrats stop $kit\` ends it"
    exec < /dev/null >> "$console" 2>&1
  fi

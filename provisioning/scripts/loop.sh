# fedbrats: from here on this is not FLARE's script. Status: 0 it was asked to stop, 75 it runs already, 78 a file of the
# kit has to be mended first; with --once that of the process (73: kit or storage cannot be written to; 75: the port is
# taken; 78). Anything else is tried again, after 5 s, 10 s ... 60 s.
run() {
  exec python3 -u -m fedbrats.flare.process.start @COMMAND@
}

if [[ "$doOnce" == "true" ]]; then
  rm -f "$WORKSPACE/pid.fl" "$WORKSPACE/shutdown.fl" "$WORKSPACE/restart.fl"
  run
fi

end() {
  rm -f "$WORKSPACE/pid.fl" "$WORKSPACE/shutdown.fl" "$WORKSPACE/restart.fl" "$WORKSPACE/daemon_pid.fl"
  exit "$1"
}

# FLARE's `shutdown` and `restart`, and stop_fl.sh: the process ends by itself, is asked to, or is killed.
end_process() {
  local second
  for second in 1 2 3 4 5 6 7 8 9 10; do
    kill -0 "$pid" 2>/dev/null || return 0
    [[ $second -eq 5 ]] && kill -INT "$pid" 2>/dev/null
    sleep 1
  done
  kill -9 "$pid" 2>/dev/null
}

# Where start.sh was run in a terminal, what is printed goes to @CONSOLE@ (leave.sh). A long one is put aside, and the one
# that was put aside before is removed; what is printed while it is copied is lost.
bound_console() {
  local console="$WORKSPACE/@CONSOLE@"
  [[ /dev/fd/1 -ef "$console" && -n "$(find "$console" -size +@CONSOLE_MIB@M 2>/dev/null)" ]] || return 0
  cp -f "$console" "$console.1" 2>/dev/null || rm -f "$console.1"
  : > "$console"
}

check_loop "$WORKSPACE"
echo "$BASHPID" > "$WORKSPACE/daemon_pid.fl" || exit 73
rm -f "$WORKSPACE/pid.fl" "$WORKSPACE/shutdown.fl" "$WORKSPACE/restart.fl"
pause=5
while true; do
  begun=$SECONDS
  looks=0
  bound_console
  run 2>&1 &
  pid=$!
  echo "$pid" > "$WORKSPACE/pid.fl"
  while kill -0 "$pid" 2>/dev/null; do
    sleep 1
    (( ++looks % 60 )) || bound_console
    [[ -f "$WORKSPACE/shutdown.fl" || -f "$WORKSPACE/restart.fl" ]] && end_process
  done
  wait "$pid"
  status=$?
  [[ -f "$WORKSPACE/shutdown.fl" ]] && end 0
  if [[ $status -eq 78 ]]; then
    echo "fedbrats: not started again: what log.txt says has to be mended first" >&2
    end 78
  fi
  if [[ -f "$WORKSPACE/restart.fl" ]]; then
    rm -f "$WORKSPACE/restart.fl"
    continue
  fi
  [[ $(( SECONDS - begun )) -ge 300 ]] && pause=5
  echo "started again in $pause s, for the process ended with status $status"
  sleep "$pause"
  pause=$(( pause >= 30 ? 60 : 2 * pause ))
done

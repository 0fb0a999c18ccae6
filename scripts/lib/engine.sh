# Makes sure that a Docker Engine answers, without touching one that already runs. Needs common.sh.
# shellcheck shell=bash
#
#   engine_ensure FOLDER   after it $DOCKER_HOST names an Engine that answers; says which. FOLDER is where a private Engine
#                          of ours lives when the machine has neither a running Engine nor a service manager.
#   engine_stop FOLDER     stops the private Engine if engine_ensure started one there; anything else is left alone
#   engine_wipe FOLDER     the same, and removes its data

# Does the Engine at this address answer this user? The address is given explicitly so that no docker context interferes.
engine_answers() {
  DOCKER_HOST=$1 DOCKER_CONTEXT='' timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1
}

engine_default=unix:///var/run/docker.sock

engine_ensure() {
  local folder=$1
  if [ -n "${DOCKER_HOST:-}" ]; then
    engine_answers "$DOCKER_HOST" || die "DOCKER_HOST is $DOCKER_HOST, but no Docker Engine answers there.
  Start it, or unset DOCKER_HOST."
    say "Docker Engine: the one at $DOCKER_HOST, as DOCKER_HOST says"
    return 0
  fi
  export DOCKER_HOST=$engine_default
  if engine_answers "$DOCKER_HOST"; then
    say "Docker Engine: the one that runs on this machine"
  elif [ -S /var/run/docker.sock ] && [ ! -w /var/run/docker.sock ]; then
    die "a Docker Engine runs here, but this user may not talk to it.
  Run the script with sudo, or: sudo usermod -aG docker $(id -un)   (then log in again)"
  elif [ -d /run/systemd/system ]; then
    say "Docker Engine: starting the service of this machine (systemctl start docker)"
    as_root systemctl start docker || die "the service did not start; see: journalctl -u docker"
    engine_wait "$DOCKER_HOST" 30 || die "the service started, but nothing answers at $DOCKER_HOST; see: journalctl -u docker"
  else
    engine_start_private "$folder"
  fi
}

engine_wait() {  # ADDRESS SECONDS [PID]
  local i
  for ((i = 0; i < $2 * 10; i++)); do
    engine_answers "$1" && return 0
    [ -z "${3:-}" ] || alive "$3" || return 1
    sleep 0.1
  done
  return 1
}

# A dockerd of our own: own bridge, own data root, own socket, so that it can live beside any other.
engine_start_private() {
  local folder=$1 pid network=()
  export DOCKER_HOST=unix://$folder/docker.sock
  if engine_answers "$DOCKER_HOST"; then
    say "Docker Engine: the private one in $folder, still running"
    return 0
  fi
  [ "$(id -u)" = 0 ] || die "no Docker Engine runs here, and starting one needs root. Run the script with sudo."
  say "Docker Engine: none runs here, so a private one is started (data below $folder)"
  mkdir -p "$folder"
  engine_forget_dead "$folder"
  engine_bridge "$folder"
  # Two Engines that both manage iptables destroy each other's rules. Alone on the machine ours may, so that containers
  # reach the network; beside another one it keeps its hands off.
  if engine_alone; then network=(--iptables=true); else network=(--iptables=false --ip-masq=false); fi
  engine_launch "$folder" "${network[@]}"
  if ! engine_wait "$DOCKER_HOST" 30 "$(cat "$folder/pid")"; then
    if [ "${network[0]}" = --iptables=true ] && ! alive "$(cat "$folder/pid")"; then   # no iptables in this kernel or container
      engine_launch "$folder" --iptables=false --ip-masq=false
      engine_wait "$DOCKER_HOST" 30 "$(cat "$folder/pid")" && return 0
    fi
    tail -n 5 "$folder/log" >&2
    engine_stop "$folder"
    die "the Docker Engine did not start (its last words are above, all of them in $folder/log)"
  fi
}

engine_launch() {  # FOLDER FLAGS...
  local folder=$1; shift
  setsid nohup /usr/sbin/dockerd --data-root "$folder/data" --exec-root "$folder/exec" -p "$folder/docker.pid" \
    -H "unix://$folder/docker.sock" -b "$(cat "$folder/bridge")" "$@" >>"$folder/log" 2>&1 </dev/null &
  say $! >"$folder/pid"
}

# No other dockerd on this machine.
engine_alone() {
  local name
  for name in /proc/[0-9]*/comm; do
    if [ "$(cat "$name" 2>/dev/null)" = dockerd ]; then return 1; fi
  done
}

# A bridge that exists before dockerd does: with --bridge=none a dockerd deletes the docker0 of its neighbour.
engine_bridge() {
  local folder=$1 name third
  name=rv-$(say "$folder" | cksum | cut -d' ' -f1 | cut -c1-8)
  say "$name" >"$folder/bridge"
  if ip link show "$name" >/dev/null 2>&1; then return 0; fi
  for ((third = 16; third < 128; third++)); do
    ip -4 route show | grep -q "172\.29\.$third\." || break
  done
  ip link add name "$name" type bridge
  ip addr add "172.29.$third.1/24" dev "$name"
  ip link set "$name" up
}

# Pid files of a killed dockerd and its containerd keep the next one from starting.
engine_forget_dead() {
  local file
  for file in "$1/docker.pid" "$1/exec/containerd/containerd.pid"; do
    alive "$(cat "$file" 2>/dev/null)" || rm -f "$file"
  done
}

engine_stop() {
  local folder=$1 containers pid
  [ -f "$folder/pid" ] || return 0
  pid=$(cat "$folder/pid")
  # Is it still ours, and not some other process that got the number?
  if alive "$pid" && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q -- "--data-root $folder/data"; then
    containers=$(DOCKER_HOST=unix://$folder/docker.sock timeout 10 docker ps -q 2>/dev/null) || true
    # shellcheck disable=SC2086
    [ -z "$containers" ] || DOCKER_HOST=unix://$folder/docker.sock timeout 30 docker kill $containers >/dev/null 2>&1 || true
    DOCKER_HOST=unix://$folder/docker.sock timeout 30 docker network prune -f >/dev/null 2>&1 || true  # their bridges would stay
    end_process "$pid"
  fi
  { grep -o " $folder/[^ ]*" /proc/mounts || true; } | sort -r | while read -r mount; do umount -l "$mount" || true; done
  ip link del "$(cat "$folder/bridge")" 2>/dev/null || true
  rm -f "$folder/pid" "$folder/docker.pid" "$folder/docker.sock"
}

engine_wipe() {
  engine_stop "$1"
  rm -rf "$1"
}

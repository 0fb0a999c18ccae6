# Shell functions that the scripts beside this folder share. Sourced by bash; sets nothing but functions and two paths.
# shellcheck shell=bash disable=SC2016,SC2034   # '$(...)' are apt's own format directives; the callers use the paths

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# Everything that the scripts keep between runs (private Engine, the quickstart's share) is below this folder.
if [ -n "${XDG_STATE_HOME:-}" ]; then state_home=$XDG_STATE_HOME
elif [ "$(id -u)" = 0 ]; then state_home=/var/lib
else state_home=$HOME/.local/state; fi

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
  bold=$'\e[1m'; red=$'\e[31m'; plain=$'\e[0m'
else
  bold=; red=; plain=
fi

say()  { printf '%s\n' "$*"; }
step() { printf '\n%s==> %s%s\n' "$bold" "$*" "$plain"; }
warn() { printf '%swarning:%s %s\n' "$red" "$plain" "$*" >&2; }
die()  { printf '%serror:%s %s\n' "$red" "$plain" "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command as root: directly, or through sudo where that needs no terminal or there is one.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif can_be_root; then sudo "$@"
  else die "this needs root: $*
  Run the script as root, or install sudo and allow this user to use it."; fi
}
can_be_root() {
  [ "$(id -u)" = 0 ] && return 0
  have sudo && { sudo -n true 2>/dev/null || [ -t 0 ]; }
}

# A pid that runs (a zombie does not).
alive() { [ -n "${1:-}" ] && [ -d "/proc/$1" ] && ! grep -q '^State:.*Z' "/proc/$1/status" 2>/dev/null; }

# TERM, up to 10 s, then KILL. Only ever called with pids that the caller started.
end_process() {
  local pid=$1 i
  alive "$pid" || return 0
  kill -TERM "$pid" 2>/dev/null || return 0
  for ((i = 0; i < 200; i++)); do alive "$pid" || return 0; sleep 0.05; done
  kill -KILL "$pid" 2>/dev/null || true
}

# A TCP port of 127.0.0.1 that nothing listens on, the given one if it is free.
free_port() {
  local port=$1
  while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
  say "$port"
}

# The Debian mirror this machine's apt is configured for (deb822 and one-line sources alike: apt is asked).
debian_mirror() {
  local uri
  uri=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    sed -n 's/^Debian|Debian|\(http.*\)$/\1/p' | head -n 1)
  # Before the first "apt-get update" apt knows no origins: take the first address that ends in /debian.
  [ -n "$uri" ] || uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    grep -E '^https?://.*/debian/?$' | head -n 1) || true
  say "${uri:-http://deb.debian.org/debian}" | sed 's,/*$,,'
}

# The test programs of tests/, with sanitizers, in a folder of their own. clang, where there is one, compiles sanitizers much
# faster than gcc, and two compilers see more than one.
build_tests() {  # FOLDER SANITIZERS
  if [ ! -f "$root/$1/build.ninja" ]; then
    local compiler=()
    if have clang++ && clang++ "-fsanitize=$2" -x c++ -o /dev/null - <<<'int main() {}' 2>/dev/null; then compiler=(CC=clang CXX=clang++); fi
    env ${compiler[@]+"${compiler[@]}"} meson setup "$root/$1" "$root" -Dtests=true -Dweb=disabled -Dlink=dynamic -Dprefer_static=false --buildtype=debug -Dstrip=false \
      -Db_lundef=false "-Db_sanitize=$2"
  fi
  meson compile -C "$root/$1"
}

# The fuzz targets, in build-fuzz/. They need clang.
build_fuzz() {
  if [ ! -f "$root/build-fuzz/build.ninja" ]; then
    env CC=clang CXX=clang++ meson setup "$root/build-fuzz" "$root" -Dfuzz=true -Dweb=disabled -Dlink=dynamic -Dprefer_static=false -Dstrip=false -Db_lundef=false --buildtype=debugoptimized || return
  fi
  fuzz_targets | sed 's,^,tests/fuzz/fuzz_,' | xargs ninja -C "$root/build-fuzz"
}
fuzz_targets() { ls "$root/tests/fuzz/corpus"; }

# Each of them for so long, as many at a time as there are processors; from the same seed and with the same addresses every time, so that a run that was good stays good,
# unless RIVERBOX_FUZZ_SEED says another seed (0: any). Leaves output-NAME and status-NAME in the folder, and what it has found out in new-NAME/.
fuzz_all() {  # SECONDS FOLDER
  local same_addresses=''
  if setarch -R true 2>/dev/null; then same_addresses='setarch -R'; fi  # what a sandbox may refuse
  mkdir -p "$2"
  fuzz_targets | xargs -P "$(nproc)" -I NAME sh -c 'mkdir -p "$2/new-$4" && $5 "$3/build-fuzz/tests/fuzz/fuzz_$4" -max_total_time="$1" -seed="${RIVERBOX_FUZZ_SEED:-1}" -reload=0 -print_final_stats=1 \
    -artifact_prefix="$3/build-fuzz/" "$2/new-$4" "$3/tests/fuzz/corpus/$4" >"$2/output-$4" 2>&1; echo $? >"$2/status-$4"' fuzzing "$1" "$2" "$root" NAME "$same_addresses"
}

# This process and its session get what others leave of the processors: a session that the kernel schedules as a group of its own has a niceness of its own.
yield_processors() {
  renice -n 19 -p $$ >/dev/null
  echo 19 2>/dev/null >"/proc/$$/autogroup" || true
}

# Configures and builds the release binary in build/ unless an up-to-date one is there; ninja knows.
build_release() {
  if [ ! -f "$root/build/build.ninja" ]; then meson setup "$root/build" "$root"; fi
  meson compile -C "$root/build"
}

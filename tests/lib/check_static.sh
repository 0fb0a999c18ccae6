#!/bin/sh
# check_static.sh EXECUTABLE: what the README promises of it. Needs root for the chroot; without root that part is left out.
set -eu
exe=$1
fail() { echo "$*"; exit 1; }
case "$(file -L "$exe")" in *"statically linked"*) ;; *) fail "file says: $(file -L "$exe")" ;; esac
ldd "$exe" 2>&1 | grep -q "not a dynamic executable" || fail "ldd says: $(ldd "$exe" 2>&1)"
case "$(file -L "$exe")" in *"not stripped"*) stripped=$(mktemp); strip -o "$stripped" "$exe" ;; *) stripped=$exe ;; esac
size=$(stat -Lc %s "$stripped")
[ "$stripped" = "$exe" ] || rm -f "$stripped"
[ "$size" -le 12000000 ] || fail "stripped it has $size bytes, more than 12 MB"
[ "$(id -u)" = 0 ] || { echo "$size bytes; no root, so no chroot"; exit 0; }
empty=$(mktemp -d)
trap 'rm -rf "$empty"' EXIT
cp -L "$exe" "$empty/riverbox"
for command in --version --help "docker --help"; do
  # shellcheck disable=SC2086
  chroot "$empty" /riverbox $command >/dev/null || fail "in an empty chroot, riverbox $command ends with $?"
done
status=0
chroot "$empty" /riverbox docker --host http://127.0.0.1:1 list-tars >/dev/null 2>&1 || status=$?
[ $status = 69 ] || fail "in an empty chroot, an unreachable host gives exit status $status instead of 69"
echo "$size bytes"

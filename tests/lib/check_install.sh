#!/bin/sh
# check_install.sh BUILD: `meson install` lays down the program, its names, man pages, completions and units.
set -eu
to=$(mktemp -d)
trap 'rm -rf "$to"' EXIT
DESTDIR=$to meson install -C "$1" --no-rebuild --quiet
cd "$to/usr/local"
missing=
for file in bin/riverbox share/man/man1/riverbox.1 share/man/man1/riverbox-forward.1 share/man/man1/riverbox-ssh-config.1 share/man/man5/riverbox.toml.5 share/bash-completion/completions/riverbox \
    share/zsh/site-functions/_riverbox share/fish/vendor_completions.d/riverbox.fish lib/systemd/system/riverbox-host.service \
    lib/systemd/system/riverbox-runner.service; do
  [ -f "$file" ] || missing="$missing $file"
done
for name in docker docker-shell host runner client task vps ssh; do
  [ "$(readlink "bin/hakuriver.$name")" = riverbox ] || missing="$missing bin/hakuriver.$name"
  [ -e "share/man/man1/riverbox-$name.1" ] || missing="$missing riverbox-$name.1"
  [ -e "share/man/man1/hakuriver.$name.1" ] || missing="$missing hakuriver.$name.1"
  [ "$name" = ssh ] || [ -e "share/bash-completion/completions/hakuriver.$name" ] || missing="$missing completion of hakuriver.$name"
done
[ -z "$missing" ] || { echo "not installed:$missing"; exit 1; }
if find . -name '*.a' | grep .; then echo "a library of a subproject was installed"; exit 1; fi
grep -q "ExecStart=/usr/local/bin/riverbox host" lib/systemd/system/riverbox-host.service

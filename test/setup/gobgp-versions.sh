#!/bin/bash
# Unpacks the gobgpd of other Debian suites into a folder, without touching the system:
#
#   gobgp-versions.sh FOLDER SUITE...
#
# makes FOLDER/SUITE/usr/bin/gobgpd for each suite where it is missing. The mirror and its key are those of this machine's own
# apt configuration, and apt checks the signature and the checksums. Writes to stderr only. Two at once are safe: one waits.
set -eu

mkdir -p "$1"
folder=$(realpath "$1")
shift
exec 9<"$folder"
flock 9
rm -rf "$folder"/.work-* # of one that was killed

fail() {
  echo "gobgp-versions.sh: $*" >&2
  exit 1
}

[ -r /etc/os-release ] && . /etc/os-release
command -v apt-get >/dev/null && command -v dpkg >/dev/null || fail "needs apt and dpkg: gobgpd of $* cannot be fetched on this system"
# the mirror of this release's own suite
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: ${VERSION_CODENAME:-}" 'Component: main' 'Origin: Debian' | head -n 1)
[ -n "$mirror" ] || fail "apt's own sources name no Debian mirror for ${VERSION_CODENAME:-this release}: run apt-get update once"

work=$(mktemp -d "$folder/.work-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP

for suite in "$@"; do
  [ -x "$folder/$suite/usr/bin/gobgpd" ] && continue
  echo "fetching gobgpd of Debian $suite" >&2
  mkdir -p "$work/$suite/sources" "$work/$suite/lists/partial" "$work/$suite/archives/partial" "$work/$suite/root"
  cat >"$work/$suite/sources/mirror.sources" <<END
Types: deb
URIs: $mirror
Suites: $suite
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
  options=(
    --quiet
    -o "Dir::Etc::sourcelist=/dev/null"
    -o "Dir::Etc::sourceparts=$work/$suite/sources"
    -o "Dir::State::lists=$work/$suite/lists"
    -o "Dir::Cache::archives=$work/$suite/archives"
    -o "Dir::Cache::pkgcache="
    -o "Dir::Cache::srcpkgcache="
    -o "Acquire::Languages=none"
    -o "Acquire::Retries=2"
    -o "APT::Update::Error-Mode=any"
    -o "APT::Sandbox::User="
  )
  {
    apt-get "${options[@]}" update && cd "$work/$suite" && apt-get "${options[@]}" download gobgpd && dpkg -x gobgpd_*.deb root
  } >"$work/$suite/log" 2>&1 || {
    cat "$work/$suite/log" >&2
    fail "gobgpd of Debian $suite cannot be had from $mirror"
  }
  rm -rf "${folder:?}/$suite"
  mv "$work/$suite/root" "$folder/$suite"
done

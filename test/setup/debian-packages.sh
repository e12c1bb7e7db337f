#!/bin/bash
# Installs the Debian packages named as arguments, where they are missing, without letting Debian start their services.
# Writes to stderr only. Two at once are safe: one waits for the other.
set -eu

policy=/usr/sbin/policy-rc.d
mark='made by neutron-bgp-agent (test/setup/debian-packages.sh), which removes it again'

missing() {
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
  done
}

if ! command -v dpkg-query >/dev/null; then
  echo "not a Debian machine: expecting the programs of these packages on the PATH: $*" >&2
  exit 0
fi
[ -n "$(missing "$@")" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
  cat >&2 <<END
Debian packages are missing, and installing them takes root. Run

  apt-get install --yes --no-install-recommends $(missing "$@" | xargs)

as root, or this same command once as root: that also keeps Debian from starting their services.
END
  exit 1
fi

# flock on dpkg's folder, not on its lock file, which apt itself takes. The lock ends with this process, however it ends.
exec 9</var/lib/dpkg
flock 9
packages=$(missing "$@" | xargs)
[ -n "$packages" ] || exit 0

# invoke-rc.d and deb-systemd-invoke ask policy-rc.d, and 101 means no. One that is there already is somebody's decision, unless it is
# ours, left by an installation that was killed.
cleanup() {
  if grep -qF "$mark" "$policy" 2>/dev/null; then rm -f "$policy"; fi
  rm -f "${output:-}"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\n# %s\nexit 101\n' "$mark" >"$policy"
  chmod 755 "$policy"
fi

echo "installing Debian packages: $packages" >&2
output=$(mktemp)
export DEBIAN_FRONTEND=noninteractive
install() {
  # A mirror of somebody else's that cannot be reached is no reason to stop; a package that cannot be had is.
  apt-get --quiet update || true
  # shellcheck disable=SC2086
  apt-get --quiet install --yes --no-install-recommends -o DPkg::Lock::Timeout=600 $packages
}
if ! install >"$output" 2>&1 </dev/null 9<&-; then
  cat "$output" >&2
  exit 1
fi
echo "installed in $SECONDS s" >&2

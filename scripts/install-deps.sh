#!/usr/bin/env bash
# Installs what building and the demo need and this machine lacks: Debian packages by apt, Node packages
# by npm. With `test` it installs what the tests need as well, with `bench` what the benchmark does. Says what
# it installs. A second run finds nothing to do.
#
#   scripts/install-deps.sh [test|bench]
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  cmake ninja-build pkg-config
  libssl-dev libp11-kit-dev libuv1-dev
  apache2-bin apache2-utils curl openssl
  libengine-pkcs11-openssl opensc
)
# Consumers of the module, and what the native tests use.
test_packages=(
  libgtest-dev
  nginx haproxy stunnel4 p11-kit p11-kit-modules gnutls-bin
  openjdk-17-jdk-headless openssh-client python3-pykcs11
  prometheus systemd libfaketime
)
# Those that the benchmark compares with, and its counters.
bench_packages=(softhsm2 p11-kit p11-kit-modules linux-perf valgrind)
case "${1:-}" in
  test) packages+=("${test_packages[@]}") ;;
  bench) packages+=("${bench_packages[@]}") ;;
esac
# From bookworm-backports; tests of the provider are skipped, with a reason, where it is not to be had.
backports=(pkcs11-provider)

missing() {
  local package
  for package in "$@"; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || echo "$package"
  done
}

is_debian_12() {
  [ -r /etc/os-release ] && . /etc/os-release && [ "${ID:-}" = debian ] && [ "${VERSION_ID:-}" = 12 ]
}

require_node() {
  local found
  found=$(node --version 2>/dev/null || echo none)
  if ! node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' 2>/dev/null; then
    echo "tlskeep needs Node.js 20.19 or newer; found: $found" >&2
    exit 1
  fi
}

apt_get() { DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes apt-get -qq -o Dpkg::Use-Pty=0 "$@" >/dev/null; }

# Packages of servers start them when they are installed, which nobody asked for: Debian's switch
# against it, unless the machine has a policy of its own.
policy=/usr/sbin/policy-rc.d
forbid_services() {
  [ ! -e "$policy" ] || return 0
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
}

# Adds the backports suite beside the bookworm that apt has already, from the same mirror.
add_backports() {
  local mirror
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(CREATED_BY)' 2>/dev/null |
    awk '$2 == "bookworm" && $3 == "Packages" { print $1; exit }')
  [ -n "$mirror" ] || return 1
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bookworm-backports main" \
    >/etc/apt/sources.list.d/bookworm-backports.list
  apt_get update
}

install_debian_packages() {
  local wanted wanted_backports
  wanted=$(missing "${packages[@]}")
  wanted_backports=$(missing "${backports[@]}")
  [ -n "$wanted$wanted_backports" ] || return 0
  if ! is_debian_12 || [ "$(id -u)" != 0 ]; then
    if [ -n "$wanted" ]; then
      echo "tlskeep is built on Debian 12 as root, which this is not. Install these packages and try again:" >&2
      echo "  ${wanted//$'\n'/ }" >&2
      exit 1
    fi
    return 0
  fi
  apt_get update
  if [ -n "$wanted" ]; then
    echo "Installing Debian packages: ${wanted//$'\n'/ }"
    forbid_services
    # shellcheck disable=SC2086
    apt_get install -y --no-install-recommends $wanted
  fi
  if [ -n "$wanted_backports" ]; then
    echo "Installing from bookworm-backports: ${wanted_backports//$'\n'/ }"
    # shellcheck disable=SC2086
    { apt-cache policy | grep -q bookworm-backports || add_backports; } &&
      apt_get install -y --no-install-recommends -t bookworm-backports $wanted_backports ||
      echo "Not to be had: ${wanted_backports//$'\n'/ }; going on without" >&2
  fi
}

install_node_packages() {
  local stamp=node_modules/.tlskeep-installed
  if [ -e "$stamp" ] && [ "$stamp" -nt package-lock.json ]; then return 0; fi
  echo "Installing Node packages: npm install"
  # node-gyp would fetch headers that most installations of Node bring along.
  local prefix
  prefix=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
  if [ -e "$prefix/include/node/node_api.h" ]; then export npm_config_nodedir="$prefix"; fi
  # Not `npm ci`: it refuses mirrors that lack the optional packages of other platforms.
  npm install --no-save --loglevel=error
  touch "$stamp"
}

require_node
install_debian_packages
install_node_packages

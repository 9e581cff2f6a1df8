# Debian packages of other suites without touching the machine's own sources: a private apt
# configuration below the cache, for the same mirror that the machine's apt has. To be sourced.

KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# Address of the archive that the machine's own apt installs Debian's main suite from.
debian_mirror() {
  apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(COMPONENT) $(CREATED_BY)' 2>/dev/null |
    awk '$2 == "Debian" && $3 == "main" && $4 == "Packages" && $1 !~ /security/ { print $1; exit }'
}

# Makes the private configuration in $1 and reads the indexes once a day. Fails, having said why,
# where there is no apt with a Debian mirror, or the mirror lacks one of the suites.
private_apt() {
  local dir=$1 mirror
  APT_PRIVATE=$dir/apt.conf
  mirror=$(debian_mirror)
  if [ -z "$mirror" ] || [ ! -r "$KEYRING" ]; then
    echo "this machine's apt has no Debian mirror to take packages from" >&2
    return 1
  fi
  mkdir -p "$dir"/etc/{sources.list.d,preferences.d,apt.conf.d,trusted.gpg.d} \
    "$dir"/state/lists/partial "$dir"/cache/archives/partial "$dir"/log
  cat >"$APT_PRIVATE" <<CONF
Dir "$dir";
Dir::Etc "$dir/etc";
Dir::State "$dir/state";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "$dir/cache";
Dir::Log "$dir/log";
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
APT::Sandbox::User "root";
CONF
  {
    printf "deb [signed-by=$KEYRING] %s %s main\n" "$mirror" bookworm "$mirror" bookworm-backports \
      "$mirror" forky
    printf "deb-src [signed-by=$KEYRING] %s %s main\n" "$mirror" trixie
  } >"$dir/etc/sources.list"
  # Only what is asked for by suite comes from beyond this release.
  printf 'Package: *\nPin: release n=forky\nPin-Priority: 1\n' >"$dir/etc/preferences"
  if [ -z "$(find "$dir/updated" -mtime -1 2>/dev/null)" ]; then
    # Else apt takes an unreachable mirror for a success.
    apt_private -o APT::Update::Error-Mode=any update && touch "$dir/updated"
  fi
}

apt_private() {
  APT_CONFIG=$APT_PRIVATE DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes \
    apt-get -qq -o Dpkg::Use-Pty=0 "$@" >/dev/null
}

# The version that apt would take of $1 (`package` or `package/suite`), or nothing.
candidate() {
  local package=${1%%/*} suite=${1#*/}
  if [ "$suite" = "$1" ]; then
    APT_CONFIG=$APT_PRIVATE apt-cache policy "$package" | awk '$1 == "Candidate:" { print $2 }'
  else
    APT_CONFIG=$APT_PRIVATE apt-cache madison "$package" |
      awk -F' *[|] *' -v suite="$suite" '$3 ~ " " suite "/main " && $3 ~ /Packages/ { print $2; exit }'
  fi
}

# Downloads package $1 (`package/suite`) and unpacks it into folder $2 without installing it.
unpack_package() {
  local work
  work=$(mktemp -d)
  (cd "$work" && apt_private download "$1") && mkdir -p "$2" && dpkg-deb -x "$work"/*.deb "$2"
  local status=$?
  rm -rf "$work"
  return $status
}

# Installs those of the packages that this machine lacks; needs root.
require_packages() {
  local package lacking=()
  for package in "$@"; do
    dpkg-query -W -f='${db:Status-Status}' "${package%%/*}" 2>/dev/null | grep -qx installed ||
      lacking+=("$package")
  done
  [ ${#lacking[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ]; then
    echo "not root, and these packages are missing: ${lacking[*]%%/*}" >&2
    return 1
  fi
  echo "   installing ${lacking[*]%%/*}"
  apt_private install -y --no-install-recommends "${lacking[@]}"
}

# Builds QEMU's `nitro-enclave` machine from Debian's source package, with our patch of its NSM, and
# gathers the firmware that it needs. To be sourced after apt.sh.

# Tried with 1:10.0.13+ds-0+deb13u1. Mirrors keep the newest of a release alone, which differs in fixes.
qemu_version() {
  APT_CONFIG=$APT_PRIVATE apt-cache showsrc --only-source qemu 2>/dev/null |
    awk '$1 == "Version:" { print $2; exit }'
}

QEMU_BUILD_PACKAGES=(
  build-essential dpkg-dev patch pkg-config flex bison ninja-build
  python3 python3-venv python3-distlib meson/bookworm-backports
  libcbor-dev libfdt-dev libglib2.0-dev libgnutls28-dev zlib1g-dev
)

# Builds the newest into $1 (a folder of the cache) with the patches of folder $2 and leaves
# $1/qemu-system-x86_64 behind. A build of the same version and patches is kept.
build_qemu() {
  local dir=$1 patches=$2 version stamp
  version=$(qemu_version)
  if [ -z "$version" ]; then
    echo "the mirror has no source of QEMU" >&2
    return 1
  fi
  stamp=$(cat <(echo "$version") "$patches"/*.patch | sha256sum)
  if [ -x "$dir/qemu-system-x86_64" ] && [ "$(cat "$dir/stamp" 2>/dev/null)" = "$stamp" ]; then
    return 0
  fi
  require_packages "${QEMU_BUILD_PACKAGES[@]}" || return 1
  rm -rf "$dir" && mkdir -p "$dir"
  (cd "$dir" && apt_private source --download-only "qemu=$version") || return 1
  (cd "$dir" && dpkg-source --no-check -x qemu_*.dsc source) >/dev/null 2>&1 || return 1
  local patch
  for patch in "$patches"/*.patch; do
    if ! patch -s -d "$dir/source" -p1 <"$patch" >"$dir/patch.log"; then
      echo "$(basename "$patch") does not fit QEMU $version" >&2
      return 1
    fi
  done
  # The machine and nothing else: no PCI, only what hangs off virtio-mmio.
  printf 'CONFIG_%s\n' PCI_DEVICES=n MICROVM=y NITRO_ENCLAVE=y VIRTIO_BLK=y VIRTIO_SERIAL=y \
    VIRTIO_NET=y VIRTIO_RNG=y >"$dir/source/configs/devices/x86_64-softmmu/nitro.mak"
  mkdir "$dir/build"
  if ! (cd "$dir/build" && ../source/configure --python=/usr/bin/python3 --target-list=x86_64-softmmu \
    --without-default-features --without-default-devices --with-devices-x86_64=nitro \
    --enable-tcg --enable-gnutls --enable-libcbor --enable-fdt=system --enable-vhost-user --disable-install-blobs \
    && nice ninja -j "${JOBS:-2}" qemu-system-x86_64) >"$dir/build.log" 2>&1; then
    echo "QEMU does not build:" >&2
    tail -n 20 "$dir/build.log" >&2
    return 1
  fi
  strip -o "$dir/qemu-system-x86_64" "$dir/build/qemu-system-x86_64"
  rm -rf "$dir/source" "$dir/build" "$dir"/qemu_*
  echo "$stamp" >"$dir/stamp"
}

# Firmware of the machine into folder $1.
fetch_firmware() {
  local dir=$1 file work
  [ ! -e "$dir/bios-microvm.bin" ] || return 0
  work=$(mktemp -d)
  unpack_package qemu-system-data/bookworm-backports "$work" &&
    unpack_package seabios/bookworm-backports "$work" || { rm -rf "$work"; return 1; }
  mkdir -p "$dir"
  for file in qboot.rom pvh.bin linuxboot_dma.bin kvmvapic.bin bios-microvm.bin; do
    cp -L "$(find "$work" -name "$file" | head -n 1)" "$dir/$file" || return 1
  done
  rm -rf "$work"
}

# Gathers what runs in the guest and beside it: a kernel with its modules, and vhost-device-vsock. To
# be sourced after apt.sh.

KERNEL_PACKAGE=linux-image-cloud-amd64/bookworm-backports
VSOCK_PACKAGE=vhost-device-vsock/forky
# In the order in which they are loaded; those that the kernel has built in are left out.
GUEST_MODULES=(rng-core virtio_ring virtio virtio_mmio vsock vmw_vsock_virtio_transport_common
  vmw_vsock_virtio_transport nsm)
# For guests that are not as they should be.
OTHER_MODULES=(virtio-rng)

# The kernel into folder $1: vmlinuz, modules/NN-name.ko, other/name.ko, version, stamp.
fetch_kernel() {
  local dir=$1 version package work stamp module index=10
  version=$(candidate "$KERNEL_PACKAGE")
  if [ -z "$version" ]; then
    echo "the mirror has no $KERNEL_PACKAGE" >&2
    return 1
  fi
  stamp="$version ${GUEST_MODULES[*]} ${OTHER_MODULES[*]}"
  [ "$(cat "$dir/stamp" 2>/dev/null)" != "$stamp" ] || return 0
  package=$(APT_CONFIG=$APT_PRIVATE apt-cache show "${KERNEL_PACKAGE%%/*}=$version" |
    sed -n 's/^Depends: \(linux-image-[^ ]*\).*/\1/p')
  work=$(mktemp -d)
  unpack_package "$package=$version" "$work" || { rm -rf "$work"; return 1; }
  rm -rf "$dir" && mkdir -p "$dir/modules" "$dir/other"
  cp "$work"/boot/vmlinuz-* "$dir/vmlinuz"
  for module in "${GUEST_MODULES[@]}"; do
    unpack_module "$work" "$module" "$dir/modules/$index-$module.ko"
    index=$((index + 1))
  done
  for module in "${OTHER_MODULES[@]}"; do unpack_module "$work" "$module" "$dir/other/$module.ko"; done
  rm -rf "$work"
  echo "$version" >"$dir/version"
  echo "$stamp" >"$dir/stamp"
}

# Module $2 of the unpacked package $1 as file $3; nothing where the kernel has it built in.
unpack_module() {
  local path
  path=$(find "$1/lib/modules" "$1/usr/lib/modules" -name "$2.ko*" 2>/dev/null | head -n 1)
  case $path in
    "") ;;
    *.xz) xz -dc "$path" >"$3" ;;
    *) cp "$path" "$3" ;;
  esac
}

# The vsock device's back end as $1/vhost-device-vsock.
fetch_vsock() {
  local dir=$1 work
  [ ! -x "$dir/vhost-device-vsock" ] || return 0
  work=$(mktemp -d)
  unpack_package "$VSOCK_PACKAGE" "$work" || { rm -rf "$work"; return 1; }
  mkdir -p "$dir"
  cp "$work/usr/bin/vhost-device-vsock" "$dir/"
  rm -rf "$work"
}

#!/usr/bin/env bash
# Builds the enclave's container image from Dockerfile.enclave, by docker or buildah.
#
#   NODE_IMAGE=NAME@sha256:DIGEST scripts/build-container.sh [TAG]
#
# NODE_IMAGE is the base of the build stage, a Debian 12 with Node.js 24 and npm. It is given by digest, since
# a tag names other content from day to day and the enclave would measure differently with it; an image that was
# made on this machine (localhost/NAME) needs none. IMAGE=enclave-general packs the program of the usage
# policy `general`. TAG is `tlskeep-enclave:latest` by default. CONTAINER_TOOL is `docker` or `buildah`, by default
# docker where its engine answers; CONTAINER_FLAGS are added to its `build`.
set -euo pipefail
cd "$(dirname "$0")/.."
tag=${1:-tlskeep-enclave:latest}
image=${IMAGE:-enclave}

refuse() {
  echo "$0: $*" >&2
  exit 2
}

case $image in
  enclave | enclave-general) ;;
  *) refuse "IMAGE is enclave or enclave-general, not $image" ;;
esac
if ! [[ ${NODE_IMAGE:-} =~ ^([a-z0-9][a-zA-Z0-9._:/-]*@sha256:[0-9a-f]{64}|localhost/[a-z0-9][a-z0-9._:/-]*)$ ]]; then
  refuse "NODE_IMAGE has to name a Debian 12 with Node.js 24 by digest, as in
  NODE_IMAGE=node:24-bookworm@sha256:<64 hex digits>
not '${NODE_IMAGE:-}'. 'docker pull node:24-bookworm' prints today's digest; keep it with what
you release. (The simulator's image, which needs no container, is 'make sim-image'.)"
fi

# A docker command without an engine builds nothing.
for try in "docker version" "buildah --version"; do
  [ -n "${CONTAINER_TOOL:-}" ] || ! $try >/dev/null 2>&1 || CONTAINER_TOOL=${try%% *}
done
case ${CONTAINER_TOOL:-} in
  # Dates of the image, where the builder knows the argument.
  docker) build=(docker build --build-arg SOURCE_DATE_EPOCH=0) ;;
  buildah) build=(buildah build --format docker --timestamp 0) ;;
  "") refuse "neither a docker engine nor buildah is to be had" ;;
  *) refuse "CONTAINER_TOOL is docker or buildah, not $CONTAINER_TOOL" ;;
esac
# shellcheck disable=SC2086
"${build[@]}" ${CONTAINER_FLAGS:-} -f Dockerfile.enclave -t "$tag" \
  --build-arg "NODE_IMAGE=$NODE_IMAGE" --build-arg "IMAGE=$image" .
echo "image: $tag"

#!/usr/bin/env bash
# Prepares buildah and a base image, and runs the tests that build Dockerfile.enclave; says why where that is
# not possible. Arguments go to vitest.
set -uo pipefail
cd "$(dirname "$0")/../.."
. scripts/lane.sh
. scripts/image-node.sh
. scripts/container/base.sh
prepared_by scripts/container/prepare.sh
use_storage "$ready"
export TLSKEEP_CONTAINERS=$ready NODE_IMAGE=$BASE_IMAGE
node_modules/.bin/vitest run test/container --reporter=verbose "$@"

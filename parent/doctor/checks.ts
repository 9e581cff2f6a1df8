/** All checks, in the order in which they are printed: what others need comes first. */
import { agent } from "./checks/agent.js"
import { allocator } from "./checks/allocator.js"
import { clock } from "./checks/clock.js"
import { configuration } from "./checks/configuration.js"
import { credentials } from "./checks/credentials.js"
import { enclave } from "./checks/enclave.js"
import { httpd } from "./checks/httpd.js"
import { hugepages } from "./checks/hugepages.js"
import { image } from "./checks/image.js"
import { imds } from "./checks/imds.js"
import { instance } from "./checks/instance.js"
import { kms } from "./checks/kms.js"
import { listener } from "./checks/listener.js"
import { module } from "./checks/module.js"
import { nginx } from "./checks/nginx.js"
import { nitroCli } from "./checks/nitro-cli.js"
import { openssl } from "./checks/openssl.js"
import { permissions } from "./checks/permissions.js"
import { root } from "./checks/root.js"
import { sources } from "./checks/sources.js"
import { vsockProxy } from "./checks/vsock-proxy.js"
import type { Check } from "./run.js"

export const CHECKS: readonly Check[] = [
  root,
  configuration,
  instance,
  nitroCli,
  allocator,
  hugepages,
  image,
  enclave,
  vsockProxy,
  imds,
  credentials,
  clock,
  kms,
  sources,
  openssl,
  httpd,
  nginx,
  module,
  permissions,
  agent,
  listener,
]

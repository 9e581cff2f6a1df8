/**
 * Makes the configuration of what a file says. What a file of AWS's agent says that has no meaning here,
 * or that could not work here, is replaced, and a notice tells of it.
 */
import type { Config, ConfigNotice, OptionsConfig } from "./config.js"
import { type At, byPlace } from "./place.js"
import { DEFAULT_IMAGE, type FileSettings, MIN_MEMORY_MIB } from "./schema.js"

/** Where AWS's packages put the image of their own agent. */
const AWS_IMAGE = "/usr/share/nitro_enclaves/p11ne/p11ne.eif"
/** libp11 0.4.12 cuts what it reads from a `pin-source` file there. */
const MAX_PIN_SOURCE_LENGTH = 31

/** The complete configuration; `at` says where in the file a notice's key stands. */
export function adapt(settings: FileSettings, at: At): Config {
  const { enclave, options, tokens, ...rest } = settings
  const { p11kit_port, rpc_port, attestation_retry_count, ...kept } = enclave
  const notices: ConfigNotice[] = []
  const notice = (path: readonly PropertyKey[], text: string): void => {
    notices.push({ where: at(path), text })
  }
  for (const [key, value, reason] of [
    ["p11kit_port", p11kit_port, "the signing service listens on vsock port 9999"],
    ["rpc_port", rpc_port, "the control service listens on vsock port 10000"],
    [
      "attestation_retry_count",
      attestation_retry_count,
      "an attestation that fails is tried again until it succeeds",
    ],
  ] as const) {
    if (value !== undefined) notice(["enclave", key], `enclave.${key} has no effect: ${reason}`)
  }
  if (kept.image_path === AWS_IMAGE) {
    kept.image_path = DEFAULT_IMAGE
    notice(
      ["enclave", "image_path"],
      `AWS's image does not speak tlskeep's protocol: ${DEFAULT_IMAGE} is run instead`,
    )
  }
  if (kept.memory_mib < MIN_MEMORY_MIB) {
    notice(
      ["enclave", "memory_mib"],
      `enclave.memory_mib is raised from ${kept.memory_mib} to ${MIN_MEMORY_MIB}, which the image needs: the allocator has to reserve as much`,
    )
    kept.memory_mib = MIN_MEMORY_MIB
  }
  tokens.forEach(({ pin = "" }, index) => {
    if (pin.length <= MAX_PIN_SOURCE_LENGTH || options.pin_delivery === "value") return
    notice(
      ["tokens", index, "pin"],
      `tokens[${index}].pin has more than ${MAX_PIN_SOURCE_LENGTH} characters: libp11 0.4.12 cuts it where it is read from a file`,
    )
  })
  const service = options.service ?? defaultService(settings)
  if (options.service === undefined && service === "nginx") {
    notice(["options"], "options.service is not given: it is nginx, as AWS's agent takes it")
  }
  notices.sort((a, b) => byPlace(a.where, b.where))
  return { enclave: kept, options: { ...options, service }, tokens, ...rest, notices }
}

/** AWS's agent serves nginx unless told, and only its files have the target Conf. */
function defaultService({ tokens }: FileSettings): OptionsConfig["service"] {
  return tokens.some(({ target }) => target.kind === "Conf") ? "nginx" : "httpd"
}

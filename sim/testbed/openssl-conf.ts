/** The openssl.cnf by which a program's OpenSSL loads a PKCS #11 module. */

/** How OpenSSL reaches the module: the pkcs11 engine of libp11, or pkcs11-provider. */
export type OpensslBinding = "engine" | "provider"

const LIBRARIES = "/usr/lib/x86_64-linux-gnu"
export const ENGINE_PATH = `${LIBRARIES}/engines-3/pkcs11.so`
export const PROVIDER_PATH = `${LIBRARIES}/ossl-modules/pkcs11.so`

/** Of a server that has its key in a file: `none`. */
export type KeyBinding = OpensslBinding | "none"

/** The text of an openssl.cnf that makes `pkcs11:` URIs name keys of the module; empty for `none`. */
export function opensslConf(binding: KeyBinding, modulePath: string): string {
  if (binding === "none") return ""
  const sections =
    binding === "engine"
      ? [
          "engines = engines",
          "[engines]",
          "pkcs11 = engine_pkcs11",
          "[engine_pkcs11]",
          "engine_id = pkcs11",
          `dynamic_path = ${ENGINE_PATH}`,
          `MODULE_PATH = ${modulePath}`,
          "init = 0",
        ]
      : [
          "providers = providers",
          "[providers]",
          "default = provider_default",
          "pkcs11 = provider_pkcs11",
          "[provider_default]",
          "activate = 1",
          "[provider_pkcs11]",
          `module = ${PROVIDER_PATH}`,
          `pkcs11-module-path = ${modulePath}`,
          "activate = 1",
        ]
  return ["openssl_conf = openssl_init", "[openssl_init]", ...sections, ""].join("\n")
}

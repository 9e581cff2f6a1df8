/** The agent's configuration file, as the operator of a testbed's machine would write it. */
import { join } from "node:path"
import { stringify } from "yaml"
import type { SimInfo } from "../info.js"
import { CHECKOUT } from "./checkout.js"
import type { ServerCommands, Service, TargetKind } from "./web-server.js"

export interface ConfiguredToken {
  label: string
  /** Where the key object is, `s3://…`. */
  uri: string
  target: TargetKind
  path: string
  /** Merged over what stands below `target`. */
  targetSettings?: Readonly<Record<string, unknown>> | undefined
  /** Merged over the token. */
  settings?: Readonly<Record<string, unknown>> | undefined
}

export interface AgentConfigOptions {
  info: SimInfo
  enclaveName: string
  imagePath?: string | undefined
  runDir: string
  service?: Service
  commands: ServerCommands
  tokens: readonly ConfiguredToken[]
  /** Merged over the sections of these names. */
  enclave?: Readonly<Record<string, unknown>> | undefined
  options?: Readonly<Record<string, unknown>> | undefined
  /** Further sections. */
  sections?: Readonly<Record<string, unknown>> | undefined
}

/** The group that the web servers of the testbed run as. */
export const SERVER_GROUP = "www-data"

/** The file's text, YAML. */
export function agentConfig(setup: AgentConfigOptions): string {
  const { info, enclaveName, imagePath = CHECKOUT.image, runDir, service = "httpd" } = setup
  return stringify({
    enclave: {
      image_path: imagePath,
      nitro_cli_path: join(info.binDir, "nitro-cli"),
      address_pattern: `unix:${info.vsockDir}/{cid}_{port}.sock`,
      boot_timeout_ms: 15_000,
      name: enclaveName,
      ...setup.enclave,
    },
    options: {
      service,
      ...commandOptions(setup.commands),
      run_dir: runDir,
      module_path: CHECKOUT.module,
      ...setup.options,
    },
    tokens: setup.tokens.map(({ label, uri, target, path, targetSettings, settings }) => ({
      label,
      source: { S3: { uri } },
      target: { [target]: { path, group: SERVER_GROUP, ...targetSettings } },
      ...settings,
    })),
    ...setup.sections,
  })
}

function commandOptions({ test, reload, start }: ServerCommands) {
  return { test_command: test, reload_command: reload, start_command: start }
}

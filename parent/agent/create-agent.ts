/** Puts the agent together from a configuration. */
import pLimit from "p-limit"
import type { Logger } from "pino"
import { vsockTransport } from "../../native/addon/vsock-transport.js"
import { type Aws, createAws } from "../aws.js"
import type { Config, TokenConfig } from "../config/config.js"
import { EnclaveHost } from "../enclave-host/enclave-host.js"
import { RunDir } from "../run-dir.js"
import { selfTest } from "../self-test/self-test.js"
import { createSource } from "../source/create-source.js"
import { createPublisher } from "../target/create-publisher.js"
import { ownerOf } from "../target/files.js"
import type { Publisher } from "../target/publisher.js"
import { Agent } from "./agent.js"
import { ObjectKeeper } from "./kept-objects.js"
import { TokenKeeper } from "./token-keeper.js"

/** Tokens brought in at the same time: the enclave makes an RSA key for each. */
const PARALLEL_PROVISIONING = 8
/** Each self-test is a process of its own. */
const PARALLEL_SELF_TESTS = 2

export interface CreatedAgent {
  agent: Agent
  runDir: RunDir
  /** Where the relay has to lead. */
  kmsHost: string
  /** Frees what the agent waits with. */
  close(): void
}

/** @throws AgentError `run-dir-unusable`, `region-unknown` */
export async function createAgent(
  config: Config,
  { configFile, log }: { configFile: string; log: Logger },
): Promise<CreatedAgent> {
  const runDir = await RunDir.open(config.options.run_dir)
  const aws = await createAws(config.aws, log)
  const publisher = await createPublisher({ options: config.options, runDir, log })
  const host = new EnclaveHost({
    config: config.enclave,
    runDir,
    transport: { vsock: vsockTransport },
    log,
  })
  const shared = {
    provisioning: pLimit(PARALLEL_PROVISIONING),
    testing: pLimit(PARALLEL_SELF_TESTS),
  }
  const parts = { config, runDir, aws, publisher, log, ...shared }
  const agent = new Agent({
    host,
    keepers: config.tokens.map((token) => makeKeeper(token, parts)),
    runDir,
    configFile,
    imagePath: config.enclave.image_path,
    log,
  })
  const kmsHost = `kms.${aws.region}.amazonaws.com${aws.partition === "aws-cn" ? ".cn" : ""}`
  return { agent, runDir, kmsHost, close: () => publisher.close() }
}

interface Parts {
  config: Config
  runDir: RunDir
  aws: Aws
  publisher: Publisher
  provisioning: ReturnType<typeof pLimit>
  testing: ReturnType<typeof pLimit>
  log: Logger
}

function makeKeeper(token: TokenConfig, parts: Parts): TokenKeeper {
  const { config, runDir, aws, publisher, provisioning, testing } = parts
  const source = createSource(token.source, aws)
  return new TokenKeeper({
    config: token,
    source,
    kept: new ObjectKeeper(runDir, token.label, source.name),
    region: aws.region,
    syncIntervalMs: config.options.sync_interval_secs * 1_000,
    credentials: (signal) => aws.credentials(signal),
    provisioning,
    pin: async () => {
      const { gid } = await ownerOf(token.target.user, token.target.group)
      return runDir.pin(token.label, token.pin, gid)
    },
    selfTest: (object, pin, endpointFile = runDir.endpointFile) =>
      testing(() =>
        selfTest({
          modulePath: config.options.module_path,
          endpointFile,
          label: token.label,
          pin,
          certificate: String(object.certificates[0]),
        }),
      ),
    publish: (object, pin) => publisher.publish({ token, object, pin }),
    log: parts.log.child({ tokenLabel: token.label }),
  })
}

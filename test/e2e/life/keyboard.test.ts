/** What an operator sees and does: a token of ACM's in a file of AWS's shape, status, doctor, metrics. */
import { request } from "node:http"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { associateCertificate, certificateArn } from "../../../sim/acm/associate.js"
import { ACCOUNT_ID, ROLE_ARN, simPaths } from "../../../sim/paths.js"
import { freePort } from "../../../sim/testbed/free-port.js"
import { Site } from "../../../sim/testbed/site.js"
import { Testbed } from "../../../sim/testbed/testbed.js"
import { statusOf, untilStatus } from "./life.js"

const CERTIFICATE_ARN = certificateArn(ACCOUNT_ID)
let testbed: Testbed
let site: Site
let metricsPort: number
beforeAll(async () => {
  testbed = await Testbed.up()
  metricsPort = await freePort()
  site = await Site.begin(testbed, {
    ...{ name: "keyboard", service: "httpd", target: "Conf" },
    tokens: [{ label: "web", keyType: "P-256" }],
    agent: {
      options: { sync_interval_secs: 1 },
      token: { source: { Acm: { certificate_arn: CERTIFICATE_ARN } } },
      sections: { metrics: { listen: `127.0.0.1:${metricsPort}` } },
    },
  })
}, 180_000)
afterAll(() => testbed?.down(), 60_000)

function get(options: { socketPath?: string; port?: number; path: string }): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", ...options }, (response) => {
      const chunks: Buffer[] = []
      response.on("data", (chunk: Buffer) => chunks.push(chunk))
      response.once("end", () => resolve(Buffer.concat(chunks).toString()))
    })
    asked.once("error", reject).end()
  })
}

test("a certificate that is not associated yet is asked for, with the command to do it", async () => {
  const { state, error } = await untilStatus(site, ({ failures }) =>
    expect(failures).toBeGreaterThan(0),
  )
  expect(state).toBe("failed")
  expect(error?.code).toMatch(/^acm-not-associated$|^s3-access-denied$/)
  expect(error?.advice).toContain("aws ec2 associate-enclave-certificate-iam-role")
  const { stdout } = await site.tlskeep("status")
  expect(stdout).toContain("associate-enclave-certificate-iam-role")
})

test("once it is, Apache serves it", async () => {
  const { certificate, chain, privateKey } = site.token.web
  const pcr0 = (await statusOf(site)).enclave.description?.pcrs["0"]
  associateCertificate(simPaths(testbed.info.dir), {
    ...{ certificateArn: CERTIFICATE_ARN, roleArn: ROLE_ARN, pcr0 },
    ...{ certificate, certificateChain: chain, privateKey: Buffer.from(privateKey) },
  })
  await site.presents()
  await untilStatus(site, ({ state, source }) => {
    expect(state).toBe("serving")
    expect(source).toBe(CERTIFICATE_ARN)
  })
}, 90_000)

test("status names what is served, without colour in a pipe", async () => {
  const { stdout, exitCode } = await site.tlskeep("status")
  expect(exitCode).toBe(0)
  expect(stdout).not.toContain("\u001b")
  for (const word of ["web", "serving", "localhost", "PCR0"]) expect(stdout).toContain(word)
})

test("doctor finds what is in order here, and what is not", async () => {
  const { stdout, exitCode } = await site.tlskeep("doctor", "--json")
  const { findings } = JSON.parse(stdout) as {
    findings: { check: string; level: string; advice: string; code: string }[]
  }
  const levels = Object.fromEntries(findings.map(({ check, level }) => [check, level]))
  expect(levels).toMatchObject({
    ...{ root: "ok", configuration: "ok", "nitro-cli": "ok", image: "ok", enclave: "ok" },
    ...{ imds: "ok", credentials: "ok", clock: "ok", kms: "ok", sources: "ok" },
    ...{ httpd: "ok", module: "ok", permissions: "ok", agent: "ok", listener: "ok" },
  })
  // No machine that runs this has the device.
  const problems = findings.filter(({ level }) => level === "problem")
  expect(problems.map(({ code }) => code)).toContain("enclaves-not-enabled")
  for (const { advice } of problems) expect(advice.length).toBeGreaterThan(10)
  expect(exitCode).toBe(1)
}, 60_000)

test("metrics tell of signatures, on the configured port and on the agent's socket", async () => {
  const made = async (where: Parameters<typeof get>[0]) => {
    const text = await get(where)
    expect(text).toMatch(/^tlskeep_enclave_up 1$/m)
    const lines = [...text.matchAll(/^tlskeep_signatures_total\{([^}]*)\} (\d+)$/gm)]
    return lines
      .filter(([, labels = ""]) => labels.includes('token="web"') && labels.includes('result="ok"'))
      .reduce((sum, [, , count]) => sum + Number(count), 0)
  }
  const port = { port: metricsPort, path: "/metrics" }
  const before = await made(port)
  for (let i = 0; i < 5; i++) await site.fingerprint()
  expect(await made(port)).toBeGreaterThanOrEqual(before + 5)
  const socket = { socketPath: join(site.runDir, "agent.sock"), path: "/metrics" }
  expect(await made(socket)).toBeGreaterThanOrEqual(before + 5)
})

test("a second agent is refused, and the first goes on", async () => {
  const { exitCode, stderr } = await site.tlskeep("agent")
  expect(exitCode).toBe(1)
  expect(stderr).toContain("agent-runs-already")
  expect((await statusOf(site)).pid).toBe(site.agent.pid)
})

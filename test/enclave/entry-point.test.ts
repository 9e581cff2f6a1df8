/** The production entry point: what goes into the image, and what must not. */
import { join } from "node:path"
import { build, type Metafile } from "esbuild"
import { beforeAll, describe, expect, it } from "vitest"

const ROOT = join(import.meta.dirname, "../..")

/** Every file that a bundle of `entryPoint` takes in, by path from the checkout's root. */
async function inputsOf(entryPoint: string): Promise<string[]> {
  const { metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: [entryPoint],
    bundle: true,
    write: false,
    metafile: true,
    outdir: "unwritten",
    platform: "node",
    target: "node20",
    format: "esm",
    external: ["cbor-extract"],
    logLevel: "error",
  })
  return Object.keys((metafile as Metafile).inputs)
}

const POLICIES = { "tls-server": "tls-server.ts", general: "general.ts" }
type Policy = keyof typeof POLICIES

/** The policies that are in a bundle. */
const policiesIn = (inputs: string[]) =>
  (Object.keys(POLICIES) as Policy[]).filter((name) =>
    inputs.includes(`enclave/policy/${POLICIES[name]}`),
  )

describe.each<[string, Policy]>([
  ["enclave/main.ts", "tls-server"],
  ["enclave/main-general.ts", "general"],
])("%s", (entryPoint, policy) => {
  let inputs: string[]
  beforeAll(async () => {
    inputs = await inputsOf(entryPoint)
  })
  const ours = () => inputs.filter((path) => !path.startsWith("node_modules/"))

  it("bundles shared code, the enclave and the addon's wrapper alone", () => {
    expect(ours().length).toBeGreaterThan(20)
    expect(ours().filter((path) => !/^(shared|enclave|native\/addon)\//.test(path))).toEqual([])
  })

  it(`holds Amazon's roots and the policy ${policy}, and no other`, () => {
    expect(inputs).toContain("enclave/kms/amazon-roots.ts")
    expect(policiesIn(inputs)).toEqual([policy])
  })

  it("holds nothing that the host or the simulator needs only", () => {
    for (const name of ["fastify", "commander", "@aws-sdk/client-s3", "graphene-pk11", "execa"]) {
      expect(inputs.filter((path) => path.startsWith(`node_modules/${name}/`))).toEqual([])
    }
  })
})

describe.each<[string, Policy]>([
  ["sim/enclave-main.ts", "tls-server"],
  ["sim/enclave-general.ts", "general"],
])("%s", (entryPoint, policy) => {
  it("is the same service with a simulated NSM, and without Amazon's roots", async () => {
    const inputs = await inputsOf(entryPoint)
    expect(inputs).toContain("enclave/run.ts")
    expect(inputs).toContain("sim/nsm/nsm.ts")
    expect(inputs).not.toContain("enclave/production.ts")
    expect(inputs).not.toContain("enclave/kms/amazon-roots.ts")
    expect(policiesIn(inputs)).toEqual([policy])
  })
})

describe("sim/enclave-vm.ts", () => {
  it("is production's service and nothing of the simulator", async () => {
    const inputs = await inputsOf("sim/enclave-vm.ts")
    const production = await inputsOf("enclave/main.ts")
    const isIn = (paths: string[]) => (path: string) => !paths.includes(path)
    expect(inputs.filter(isIn(production))).toEqual(["sim/enclave-vm.ts"])
    expect(production.filter(isIn(inputs))).toEqual(["enclave/main.ts"])
  })
})

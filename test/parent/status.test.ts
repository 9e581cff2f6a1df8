/** The status as text: what an 80-column terminal shows of an agent. */
import stringWidth from "string-width"
import { describe, expect, it } from "vitest"
import type { AgentStatus } from "../../parent/agent/agent-status.js"
import { textOptions } from "../../parent/commands/status.js"
import { renderDescription, renderStatus } from "../../parent/status/render.js"
import { ago, ahead, cutTo, printable, span, wrap } from "../../parent/status/text.js"
import {
  agentStatus,
  DAY,
  describedEnclave,
  describedToken,
  NOW,
  PCR0,
  servingToken,
  troubledTokens,
} from "./agent-statuses.js"

const TERMINAL = { width: 80, colour: false }
const PLAIN = { width: Number.POSITIVE_INFINITY, colour: false }
const many = () => [
  ...troubledTokens(),
  ...Array.from({ length: 124 }, (_, index) => servingToken(`host-${index}`)),
]

describe("a few tokens", () => {
  it("are told in full", () => {
    const lines = renderStatus(agentStatus({ tokens: troubledTokens() }), TERMINAL).split("\n")
    expect(lines).toEqual([
      "agent        0.1.0, up 3 d, pid 4711, /etc/tlskeep/tlskeep.yaml",
      "enclave      up for 3 d, i-0123456789abcdef0-enc0123456789abcdef, CID 16,",
      "             adopted, 2 reconnects",
      "image        0.1.0, policy tls-server, /usr/share/tlskeep/tlskeep.eif",
      `PCR0         ${"ab".repeat(24)}`,
      `             ${"ab".repeat(24)}`,
      `PCR1         ${"cd".repeat(24)}`,
      `             ${"cd".repeat(24)}`,
      `PCR2         ${"ef".repeat(24)}`,
      `             ${"ef".repeat(24)}`,
      "modules      6 connections open (90 since boot), 41 answers, 1.27 ms each",
      "tokens       4: 1 serving, 1 pending, 1 degraded, 1 released",
      "",
      "web: serving",
      "  names        web.example.com",
      "  certificate  60 days left, until 2026-04-30 12:00 UTC",
      "  serial       0A1B",
      "  source       s3://example-keys/web.json, read 3 min ago, next in 7 min",
      "  target       /etc/apache2/tlskeep-web.conf, written 30 d ago",
      "  attested     2 h ago, next in 10 h, key ends in 46 h unless renewed",
      "  served       P-256, 40 signatures, 0 refusals",
      "",
      "api: pending",
      "  source       s3://example-keys/api.json, never read",
      "  target       /etc/apache2/tlskeep-api.conf, not written yet",
      "",
      "mail: degraded",
      "  names        mail.example.com",
      "  certificate  60 days left, until 2026-04-30 12:00 UTC",
      "  serial       0A1B",
      "  source       s3://example-keys/mail.json, read 3 min ago, next in 7 min",
      "  target       /etc/apache2/tlskeep-mail.conf, written 30 d ago",
      "  attested     2 h ago, next in 10 h, key ends in 46 h unless renewed",
      "  served       P-256, 40 signatures, 4 refusals, 1 failure, 1 former key",
      "  error        s3-unreachable: S3 could not be reached: connect ETIMEDOUT",
      "  what to do   Check the route to S3 from this instance, or its gateway",
      "               endpoint.",
      "  seen         60 s ago, 3 failed rounds since the last good one",
      "  next try     in 20 s",
      "",
      "shop: released",
      "  names        shop.example.com",
      "  certificate  60 days left, until 2026-04-30 12:00 UTC",
      "  serial       0A1B",
      "  source       s3://example-keys/shop.json, read 3 min ago, next in 7 min",
      "  target       /etc/apache2/tlskeep-shop.conf, written 30 d ago",
      "  error        kms-explicit-deny: KMS refused to decrypt: a policy denies it",
      "  what to do   Remove the Deny statement for this role or image from the policy.",
      "  seen         2 min ago, 1 failed round since the last good one",
      "  next try     in 5 min",
    ])
  })

  it("are told unbroken to a reader that is no terminal", () => {
    const text = renderStatus(agentStatus({ tokens: troubledTokens() }), PLAIN)
    expect(text).toContain(`PCR0         ${PCR0}\n`)
    expect(text).toContain("gateway endpoint.\n")
  })

  it("with an end in sight say how near", () => {
    const ending = (left: number) => {
      const token = servingToken()
      const certificate = token.certificate && { ...token.certificate, notAfter: NOW + left }
      return renderStatus(
        agentStatus({ tokens: [{ ...token, ...(certificate && { certificate }) }] }),
        PLAIN,
      )
    }
    expect(ending(13 * DAY)).toContain("certificate  13 days left")
    expect(ending(DAY)).toContain("certificate  24 h left")
    expect(ending(-3 * DAY)).toContain("certificate  ENDED 3 d ago")
  })

  it("with many names show the first of them", () => {
    const names = Array.from({ length: 9 }, (_, index) => `${index}.example.com`)
    const token = servingToken()
    const certificate = token.certificate && { ...token.certificate, names }
    const text = renderStatus(
      agentStatus({ tokens: [{ ...token, ...(certificate && { certificate }) }] }),
      PLAIN,
    )
    expect(text).toContain("4.example.com, 5.example.com, and 3 more")
    expect(text).not.toContain("6.example.com")
  })

  it("have their enclave's times told by the host's clock", () => {
    const description = describedEnclave({ now: NOW + 2 * 3_600_000 })
    const status = agentStatus({ enclave: { ...agentStatus().enclave, description } })
    expect(renderStatus(status, PLAIN)).toContain(
      "attested     4 h ago, next in 10 h, key ends in 44 h",
    )
  })
})

describe("128 tokens", () => {
  it("are a line each, and those not in order in full after them", () => {
    const lines = renderStatus(agentStatus({ tokens: many() }), TERMINAL).split("\n")
    const head = lines.indexOf(
      "LABEL                     STATE     ENDS IN    SIGNATURES   SYNCED    ATTESTED",
    )
    expect(lines.slice(head + 1, head + 6)).toEqual([
      "web                       serving   60 days    40           3 min     2 h",
      "api                       pending   -          -            -         -",
      "mail                      degraded  60 days    40           3 min     2 h",
      "shop                      released  60 days    -            3 min     -",
      "host-0                    serving   60 days    40           3 min     2 h",
    ])
    expect(lines[head + 128]).toMatch(/^host-123 /)
    expect(lines.slice(head + 129).filter((line) => /^\S/.test(line))).toEqual([
      "api: pending",
      "mail: degraded",
      "shop: released",
    ])
    expect(lines).toContain("tokens       128: 125 serving, 1 pending, 1 degraded, 1 released")
  })

  it("show trouble first on a screen whose end is cut off", () => {
    const text = renderStatus(agentStatus({ tokens: many() }), { ...TERMINAL, troubleFirst: true })
    expect(text.indexOf("shop: released")).toBeLessThan(text.indexOf("LABEL "))
  })

  it.each([
    ["labels", "ü".repeat(16)],
    ["wide labels", "鍵".repeat(10)],
    ["long labels", "x".repeat(32)],
  ])("never take more than 80 columns, whatever their %s", (_name, label) => {
    const tokens = [...many(), servingToken(label)]
    const { width } = TERMINAL
    for (const line of renderStatus(agentStatus({ tokens }), TERMINAL).split("\n")) {
      expect(stringWidth(line), line).toBeLessThanOrEqual(width)
    }
  })
})

describe("the enclave", () => {
  it("that is down says why and when it is tried again", () => {
    const enclave: AgentStatus["enclave"] = {
      state: "down",
      since: NOW - 90_000,
      reconnects: 0,
      nextTryAt: NOW + 4_000,
      error: {
        code: "enclave-memory-insufficient",
        reason: "nitro-cli run-enclave failed: [ E27 ] Insufficient memory",
        advice: "Raise memory_mib.",
        at: NOW,
      },
    }
    expect(renderStatus(agentStatus({ enclave }), TERMINAL).split("\n").slice(1, 6)).toEqual([
      "enclave      down for 90 s",
      "error        enclave-memory-insufficient: nitro-cli run-enclave failed: [ E27 ]",
      "             Insufficient memory",
      "what to do   Raise memory_mib.",
      "next try     in 4 s",
    ])
  })

  it("in debug mode is not to be overlooked", () => {
    const description = describedEnclave({ debug: true })
    const status = agentStatus({ enclave: { ...agentStatus().enclave, description } })
    expect(renderStatus(status, TERMINAL)).toContain("DEBUG MODE")
  })

  it("that is signed shows by whom", () => {
    const description = describedEnclave({ pcrs: { "0": PCR0, "8": "88".repeat(48) } })
    const status = agentStatus({ enclave: { ...agentStatus().enclave, description } })
    expect(renderStatus(status, PLAIN)).toContain(`PCR8         ${"88".repeat(48)}`)
  })

  it("speaks for itself where no agent runs", () => {
    const token = describedToken({ refusals: 2, nextFingerprint: "44".repeat(32) })
    const description = { ...describedEnclave(), tokens: [token] }
    const lines = renderDescription(description, TERMINAL).split("\n")
    expect(lines[0]).toBe("No agent runs. This is what the enclave says of itself.")
    expect(lines.slice(-3)).toEqual([
      "web",
      "  attested     2 h ago, key ends in 46 h unless renewed",
      "  served       P-256, 40 signatures, 2 refusals, next key staged",
    ])
  })
})

describe("text", () => {
  it("is coloured where a terminal is, and nobody minds", () => {
    const terminal = { isTTY: true, columns: 120 } as NodeJS.WriteStream
    expect(textOptions(terminal, {})).toEqual({ width: 120, colour: true })
    expect(textOptions(terminal, { NO_COLOR: "" }).colour).toBe(true)
    expect(textOptions(terminal, { NO_COLOR: "1" }).colour).toBe(false)
    expect(textOptions(terminal, { TERM: "dumb" }).colour).toBe(false)
    const pipe = {} as NodeJS.WriteStream
    expect(textOptions(pipe, {})).toEqual({ width: Number.POSITIVE_INFINITY, colour: false })
  })

  it("has the same letters with colour and without", () => {
    const status = agentStatus({ tokens: many() })
    const coloured = renderStatus(status, { width: 80, colour: true })
    expect(coloured).toContain("\u001b[31mreleased")
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    expect(coloured.replace(/\u001b\[\d+m/g, "")).toBe(renderStatus(status, TERMINAL))
  })

  it("lets no one write to the terminal what is not his", () => {
    const token = servingToken("a\u001b[2Jb", {
      error: { code: "x", reason: "r\u001b]0;t\u0007\u202e", advice: "a\rb", at: NOW },
    })
    const certificate = token.certificate && { ...token.certificate, names: ["n\u0000\u009b"] }
    const status = agentStatus({ tokens: [{ ...token, ...(certificate && { certificate }) }] })
    expect(renderStatus(status, TERMINAL)).not.toMatch(/[^\P{C}\n]/u)
    expect(printable("a\u001b[2Jb")).toBe("a\ufffd[2Jb")
  })

  it.each([
    [0, "0 s"],
    [119_000, "119 s"],
    [120_000, "2 min"],
    [119 * 60_000, "119 min"],
    [2 * 3_600_000, "2 h"],
    [47 * 3_600_000, "47 h"],
    [2 * DAY, "2 d"],
    [90 * DAY, "90 d"],
  ])("%d ms are %s", (ms, text) => {
    expect(span(ms)).toBe(text)
  })

  it("tells times before and after now", () => {
    expect([ago(NOW - 5_000, NOW), ahead(NOW + 5_000, NOW)]).toEqual(["5 s ago", "in 5 s"])
    expect([ago(NOW + 5_000, NOW), ahead(NOW - 5_000, NOW)]).toEqual(["in 5 s", "now"])
  })

  it("is broken between words, and in one that is too long", () => {
    expect(wrap("one two three", 8)).toEqual(["one two", "three"])
    expect(wrap("a abcdefghij b", 4)).toEqual(["a", "abcd", "efgh", "ij b"])
    expect(wrap("", 4)).toEqual([""])
    expect(wrap("a b", Number.POSITIVE_INFINITY)).toEqual(["a b"])
    expect(cutTo("鍵鍵鍵", 5)).toBe("鍵鍵…")
  })
})

/** The reload command: what it says when it fails, and that a server it starts is not waited for. */
import { describe, expect, it } from "vitest"
import { reloadServer } from "../../parent/target/reload.js"
import { refusalOf } from "./refusal.js"

describe("reloadServer", () => {
  it("takes success in silence", async () => {
    await expect(reloadServer(["true"])).resolves.toBeUndefined()
  })

  it("quotes the end of what a failing command said", async () => {
    const script =
      "echo first >&2; head -c 2000 /dev/zero | tr '\\0' x; echo; echo 'Syntax error'; exit 3"
    const { code, message, advice } = await refusalOf(reloadServer(["sh", "-c", script]))
    expect(code).toBe("reload-failed")
    expect(message).toMatch(/exit code 3/)
    expect(message).toMatch(/x{100}\nSyntax error$/)
    expect(message).not.toContain("first")
    expect(advice).toContain("options.reload_command")
  })

  it("says that there is no such command", async () => {
    const { code, message } = await refusalOf(reloadServer(["/no/such/apachectl"]))
    expect(code).toBe("reload-failed")
    expect(message).toContain("ENOENT")
  })

  it("does not wait for a server that keeps the command's output open", async () => {
    const startedAt = Date.now()
    await reloadServer(["sh", "-c", "sleep 6 &"])
    expect(Date.now() - startedAt).toBeLessThan(4_000)
  })
})

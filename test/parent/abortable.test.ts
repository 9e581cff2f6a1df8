/** Waiting that a signal or a clock ends. */
import { describe, expect, it } from "vitest"
import { abortable, withDeadline } from "../../parent/aws/abortable.js"

const never = new Promise<string>(() => {})

describe("abortable", () => {
  it("settles as the work does", async () => {
    const { signal } = new AbortController()
    expect(await abortable(Promise.resolve("done"), signal)).toBe("done")
    expect(await abortable(Promise.resolve("done"), undefined)).toBe("done")
    await expect(abortable(Promise.reject(new Error("failed")), signal)).rejects.toThrow("failed")
  })

  it("rejects with the signal's reason, aborted before or meanwhile", async () => {
    const leaving = new AbortController()
    const waiting = abortable(never, leaving.signal)
    leaving.abort(new Error("gone"))
    await expect(waiting).rejects.toThrow("gone")
    await expect(abortable(never, leaving.signal)).rejects.toThrow("gone")
  })
})

describe("withDeadline", () => {
  it("settles as the work does", async () => {
    expect(await withDeadline(60_000, undefined, async () => "done")).toBe("done")
    const failing = withDeadline(60_000, undefined, () => Promise.reject(new Error("failed")))
    await expect(failing).rejects.toThrow("failed")
  })

  it("ends with a TimeoutError, and tells the work", async () => {
    let seen: AbortSignal | undefined
    const waiting = withDeadline(10, undefined, (signal) => {
      seen = signal
      return never
    })
    await expect(waiting).rejects.toMatchObject({ name: "TimeoutError" })
    expect(seen?.aborted).toBe(true)
  })

  it("ends as the caller's signal does, aborted before or meanwhile", async () => {
    const leaving = new AbortController()
    const waiting = withDeadline(60_000, leaving.signal, () => never)
    leaving.abort(new Error("gone"))
    await expect(waiting).rejects.toThrow("gone")
    await expect(withDeadline(60_000, leaving.signal, () => never)).rejects.toThrow("gone")
  })
})

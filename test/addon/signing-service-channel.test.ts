/** One channel of the signing service, as its handlers see it: what comes when, and how it is closed. */

import { describe, expect, it } from "vitest"
import { closeDescriptor, socketPair } from "../../native/addon/index.js"
import { encodeFrame } from "../../shared/frame.js"
import { GATE, HELLO, Recorder, signFrame, TOKEN, useService } from "./signing-service.js"

const fixture = useService()
const { connect, logIn } = fixture

describe("a channel", () => {
  it("tells requests, the end and the close in their order", async () => {
    const recorder = new Recorder()
    const { peer, channel } = connect(recorder)
    peer.stream.write(
      Buffer.concat(["one", "two", "three"].map((it) => encodeFrame(Buffer.from(it)))),
    )
    peer.stream.end()
    const expected = ["payload one", "payload two", "payload three", "ended ended"]
    expect(await recorder.count(4)).toEqual(expected)
    channel.send(Buffer.from("late"))
    channel.close()
    expect((await peer.next()).toString()).toBe("late")
    await peer.ended
    expect(await recorder.count(5)).toEqual([...expected, "closed"])
  })

  it.each([
    ["frame-too-large", Buffer.from([0, 1, 0, 1])],
    ["frame-empty", Buffer.alloc(4)],
    ["frame-truncated", Buffer.from([0, 0, 0, 9, 1])],
  ])("tells %s", async (reason, bytes) => {
    const recorder = new Recorder()
    const { peer, channel } = connect(recorder)
    peer.stream.end(bytes)
    expect(await recorder.count(1)).toEqual([`ended ${reason}`])
    channel.destroy()
    expect(await recorder.count(2)).toEqual([`ended ${reason}`, "closed"])
  })

  it("tells the close of one that hangs up, whatever is done to it", async () => {
    const recorder = new Recorder()
    const { peer, channel } = connect(recorder)
    peer.stream.destroy()
    expect(await recorder.count(2)).toEqual(["ended ended", "closed"])
    channel.send(Buffer.from("nobody"))
    channel.resume()
    channel.close()
    channel.destroy()
    expect(recorder.events).toHaveLength(2)
  })

  it("reads the next request when the handler of the last has returned", async () => {
    // The signatures behind the hello would be handed out, not made, if they were read before.
    const handed: string[] = []
    for (let round = 0; round < 20; round++) {
      const connection = connect({
        payload: (payload) => {
          handed.push(payload.toString("hex"))
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2)
          connection.channel.greet()
          connection.channel.prove(GATE)
        },
        ended: () => undefined,
        closed: () => undefined,
      })
      connection.peer.stream.write(Buffer.concat([HELLO, signFrame(round), signFrame(round + 1)]))
      expect(await connection.peer.nextSignature()).toBe(round)
      expect(await connection.peer.nextSignature()).toBe(round + 1)
    }
    expect(handed).toEqual(Array(20).fill(HELLO.subarray(4).toString("hex")))
    expect(fixture.directory.takeCounts(TOKEN)).toEqual(new Map([["ECDSA", 40]]))
  })

  it("hands out what the directory does not admit", async () => {
    const recorder = new Recorder()
    const { peer } = logIn(recorder)
    fixture.directory.withdraw(TOKEN)
    peer.stream.write(signFrame(1))
    const payload = signFrame(1).subarray(4).toString("latin1")
    expect(await recorder.count(1)).toEqual([`payload ${payload}`])
    expect(fixture.directory.takeCounts(TOKEN)).toEqual(new Map())
  })

  it("holds requests back from a pause to a resume", async () => {
    const recorder = new Recorder()
    const { peer, channel } = logIn(recorder)
    channel.pause()
    peer.stream.write(Buffer.concat([signFrame(1), HELLO]))
    const { peer: other } = logIn(new Recorder())
    for (let id = 0; id < 10; id++) {
      other.stream.write(signFrame(id))
      expect(await other.nextSignature()).toBe(id)
    }
    expect(fixture.directory.takeCounts(TOKEN).get("ECDSA")).toBe(10)
    expect(recorder.events).toEqual([])
    channel.resume()
    expect(await peer.nextSignature()).toBe(1)
    await recorder.count(1)
  })

  it("sends all of it before it closes", async () => {
    const recorder = new Recorder()
    const { peer, channel } = connect(recorder)
    const large = Buffer.alloc(60_000, 7)
    for (let i = 0; i < 20; i++) channel.send(large)
    channel.close()
    for (let i = 0; i < 20; i++) expect(large.equals(await peer.next())).toBe(true)
    await peer.ended
    expect(await recorder.count(1)).toEqual(["closed"])
  })

  it("cuts off a peer that does not take its last answers", async () => {
    const recorder = new Recorder()
    const [ours, theirs] = socketPair()
    const channel = fixture.service.adopt(theirs, recorder)
    for (let i = 0; i < 20; i++) channel.send(Buffer.alloc(60_000))
    channel.close()
    expect(await recorder.count(1)).toEqual(["closed"])
    closeDescriptor(ours)
  })
})

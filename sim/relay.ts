/**
 * Relays raw bytes between two sockets with back-pressure, optionally appending both directions to
 * one file as they pass, which is what somebody who owns the parent could keep.
 */
import { type FileHandle, open } from "node:fs/promises"
import { type Duplex, Transform } from "node:stream"
import { pipeline } from "node:stream/promises"

/** Sees the bytes of a relay before they are passed on. */
export interface Recorder {
  append(bytes: Uint8Array): Promise<void>
  close(): Promise<void>
}

/** Opens a recording for appending; all streams of one port share it, in the order of arrival. */
export async function openRecorder(file: string): Promise<Recorder> {
  const handle: FileHandle = await open(file, "a", 0o644)
  return {
    append: async (bytes) => {
      await handle.appendFile(bytes)
    },
    close: () => handle.close(),
  }
}

/** Relays until both directions have ended, or one has failed, which ends the other too. */
export async function relay(a: Duplex, b: Duplex, recorder?: Recorder): Promise<void> {
  await Promise.allSettled([oneWay(a, b, recorder), oneWay(b, a, recorder)])
  a.destroy()
  b.destroy()
}

async function oneWay(from: Duplex, to: Duplex, recorder: Recorder | undefined): Promise<void> {
  try {
    if (recorder === undefined) await pipeline(from, to)
    else await pipeline(from, recording(recorder), to)
  } catch (error) {
    from.destroy()
    to.destroy()
    throw error
  }
}

/** A transform rather than a generator: an iterated socket would be destroyed with its read side. */
function recording(recorder: Recorder): Transform {
  return new Transform({
    transform(bytes: Buffer, _encoding, done) {
      recorder.append(bytes).then(() => done(null, bytes), done)
    },
  })
}

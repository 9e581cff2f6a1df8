/**
 * Finds and loads `tlskeep_addon.node`, and says what is in it. Only the typed wrappers beside
 * this file use it.
 */

import { existsSync } from "node:fs"
import { createRequire } from "node:module"
import { fileURLToPath } from "node:url"
import { AddonError } from "./addon-error.js"

/** A private key; the numbers stand for the names in signing-key.ts. */
export interface NativeSigningKey {
  readonly keyType: "RSA" | "EC" | "Ed25519"
  readonly bits: number
  readonly publicKey: Uint8Array
  signSync(mechanism: number, data: Uint8Array, hash: number, saltLength: number): Uint8Array
  sign(
    mechanism: number,
    data: Uint8Array,
    hash: number,
    saltLength: number,
    callback: (error: AddonError | null, signature: Uint8Array) => void,
  ): void
  decrypt(
    mechanism: number,
    data: Uint8Array,
    hash: number,
    mgfHash: number,
    label: Uint8Array,
    callback: (error: AddonError | null, plaintext: Uint8Array) => void,
  ): void
  destroy(): void
}

/** A connected (or connecting) stream socket; errors are thrown or handed to the callbacks. */
export interface NativeStreamSocket {
  /** Waits for the connect() in progress. */
  connected(callback: (error: AddonError | null) => void): void
  readStart(): void
  readStop(): void
  /** False: `onWritten` follows, and there must be no other write before it. */
  write(chunks: readonly Uint8Array[]): boolean
  shutdown(): void
  close(): void
  keepAlive(keep: boolean): void
}

/** Accepts connections on a listening socket; pauses itself when accept() fails. */
export interface NativeListeningSocket {
  resume(): void
  close(): void
  keepAlive(keep: boolean): void
}

/** The keys that the signing threads use; the numbers stand for the names in signing-key.ts. */
export interface NativeKeyDirectory {
  publish(
    token: number,
    gate: number,
    expiresAt: number,
    keys: readonly {
      fingerprint: Uint8Array
      key: NativeSigningKey
      /** A bit for each mechanism, and for each hash. */
      mechanisms: number
      hashes: number
      minEcdsaBytes: number
      maxEcdsaBytes: number
    }[],
  ): void
  withdraw(token: number): void
  /** By mechanism. */
  takeCounts(token: number): number[]
}

/** The signing threads and their connections; nothing happens to one that is closed. */
export interface NativeSigningService {
  /** Takes the descriptor over; closes it if this throws. */
  adopt(fd: number): number
  send(connection: number, payload: Uint8Array): void
  prove(connection: number, gate: number): void
  greet(connection: number): void
  pause(connection: number): void
  resume(connection: number): void
  close(connection: number): void
  destroy(connection: number): void
  /** The sum in µs, then the counts of the buckets; empty once stopped. */
  latency(): number[]
  stop(): void
}

/** The open NSM device. */
export interface NativeNsmDevice {
  transact(
    request: Uint8Array,
    callback: (error: AddonError | null, response: Uint8Array) => void,
  ): void
  close(): void
}

interface Binding {
  useErrorClass(errorClass: typeof AddonError): void
  readonly SigningKey: new (pem: Uint8Array) => NativeSigningKey
  /** Takes the descriptor over unless it throws. A null chunk without an error is the end. */
  readonly StreamSocket: new (
    fd: number,
    onRead: (error: AddonError | null, chunk: Uint8Array | null) => void,
    onWritten: (error: AddonError | null) => void,
  ) => NativeStreamSocket
  /** Takes the descriptor over unless it throws. */
  readonly ListeningSocket: new (
    fd: number,
    onConnection: (fd: number, cid: number | null, port: number | null) => void,
    onError: (error: AddonError) => void,
  ) => NativeListeningSocket
  readonly KeyDirectory: new () => NativeKeyDirectory
  /** Events: 0 a request (its payload), 1 the end (a reason), 2 closed. */
  readonly SigningService: new (
    directory: NativeKeyDirectory,
    latencyBounds: readonly number[],
    threads: number,
    onEvent: (event: number, connection: number, detail: Buffer | number) => void,
  ) => NativeSigningService
  readonly NsmDevice: new (path: string) => NativeNsmDevice
  startVsockConnect(cid: number, port: number, timeoutMs: number): number
  bindVsock(cid: number, port: number, backlog: number): { fd: number; port: number }
  bindUnix(path: string, backlog: number): number
  localCid(): number
  socketPair(): [number, number]
  closeDescriptor(fd: number): void
  sendUnixDatagram(path: string, message: Uint8Array): void
}

// Beside a bundle; from native/addon/ in a checkout; from dist/native/addon/ after compilation.
const LOCATIONS = [
  "./tlskeep_addon.node",
  "../../build/native/addon/tlskeep_addon.node",
  "../../../build/native/addon/tlskeep_addon.node",
]

function load(): Binding {
  const paths = LOCATIONS.map((location) => fileURLToPath(new URL(location, import.meta.url)))
  const path = paths.find((candidate) => existsSync(candidate))
  if (path === undefined) {
    throw new AddonError(
      "addon-missing",
      `tlskeep_addon.node is in none of these places: ${paths.join(", ")}`,
    )
  }
  const loaded = createRequire(import.meta.url)(path) as Binding
  loaded.useErrorClass(AddonError)
  return loaded
}

/** The loaded addon. */
export const binding: Binding = load()

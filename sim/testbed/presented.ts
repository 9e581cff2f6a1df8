/** Which certificate a server presents, whoever issued it. */
import { connect } from "node:tls"

const TIMEOUT_MS = 20_000

/** SHA-256 of the leaf's DER in lower-case hex; undefined where there is no handshake. */
export function presented(port: number, serverName: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({
      ...{ host: "127.0.0.1", port, servername: serverName, timeout: TIMEOUT_MS },
      // What is looked at may be a placeholder; whether it is trusted is for clients to say.
      rejectUnauthorized: false,
    })
    const settle = (fingerprint?: string) => {
      socket.destroy()
      resolve(fingerprint)
    }
    socket.once("secureConnect", () => {
      const certificate = socket.getPeerX509Certificate()
      settle(certificate?.fingerprint256.replaceAll(":", "").toLowerCase())
    })
    socket.once("error", () => settle())
    socket.once("timeout", () => settle())
  })
}

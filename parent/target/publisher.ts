/** How the web server comes to use a certificate: the contract between the agent and its targets. */
import type { TokenConfig } from "../config/config.js"
import type { KeyObject } from "../source/key-object.js"

export interface Publication {
  token: TokenConfig
  object: KeyObject
  pin: string
}

export interface Published {
  /**
   * Settles when no server process is left that read the former configuration: then the former key may
   * go. It never rejects; false where waiting ended before that.
   */
  formerWorkersGone: Promise<boolean>
}

export interface Publisher {
  /**
   * Writes the server's files, tests its configuration, reloads it gracefully and sees the certificate
   * presented. Publications that come together share one reload.
   *
   * @throws AgentError of the step that failed; the last good files are back and the server runs by them.
   */
  publish(publication: Publication): Promise<Published>
  /** Gives up waiting for former workers. */
  close(): void
}

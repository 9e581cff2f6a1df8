/** The typed surface of the Node addon: signing keys, AF_VSOCK sockets and the NSM device. */

export { AddonError, isAddonError } from "./addon-error.js"
export { bindUnix, bindVsock, DEFAULT_BACKLOG } from "./bind.js"
export { KeyDirectory, type Publication, type PublishedKey } from "./key-directory.js"
export {
  NSM_REQUEST_MAX_SIZE,
  type NsmDevice,
  type NsmDeviceErrorCode,
  openNsmDevice,
} from "./nsm-device.js"
export {
  type DecryptCallback,
  type DecryptionMechanism,
  type KeyHash,
  type OaepParameters,
  type PssParameters,
  type SignCallback,
  SigningKey,
  type SigningKeyErrorCode,
  type SigningMechanism,
} from "./signing-key.js"
export {
  type EndReason,
  SigningChannel,
  type SigningChannelHandlers,
  type SigningLatency,
  SigningService,
  type SigningServiceOptions,
} from "./signing-service.js"
export {
  acceptFd,
  closeDescriptor,
  listenFd,
  type SocketServer,
  type SocketServerOptions,
  type VsockPeer,
} from "./socket-server.js"
export {
  SocketStream,
  type SocketStreamOptions,
  socketPair,
  streamFromFd,
} from "./socket-stream.js"
export {
  type ConnectVsockOptions,
  connectVsock,
  type ListenVsockOptions,
  listenVsock,
  localCid,
  VMADDR_CID_ANY,
  VMADDR_PORT_ANY,
  type VsockServer,
} from "./vsock.js"

/** Worker process of the self-test: one request on stdin, exit code 0 or a sentence on stderr. */
import { randomBytes, verify, X509Certificate } from "node:crypto"
import { text } from "node:stream/consumers"
import {
  KeyType,
  type MechanismType,
  Module,
  ObjectClass,
  type PrivateKey,
  type Session,
  SessionFlag,
  UserType,
} from "graphene-pk11"
import { fingerprintOf, publicKeyOf } from "../../shared/public-key.js"
import type { SelfTestRequest } from "./self-test.js"

/** CKK_EC_EDWARDS and CKM_EDDSA of PKCS #11 3.0, which graphene does not name. */
const CKK_EC_EDWARDS = 0x40
const CKM_EDDSA = 0x1057

const request = JSON.parse(await text(process.stdin)) as SelfTestRequest
try {
  run(request)
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}

function run({ modulePath, label, pin, certificate }: SelfTestRequest): void {
  const module = Module.load(modulePath, "tlskeep")
  module.initialize()
  try {
    const session = openToken(module, label)
    session.login(pin, UserType.USER)
    const leaf = new X509Certificate(certificate)
    const key = privateKey(session, fingerprintOf(publicKeyOf(leaf)))
    const data = randomBytes(64)
    const signature = session.createSign(mechanismFor(key.type), key).once(data)
    const { publicKey } = leaf
    // Ed25519 hashes for itself.
    const hash = publicKey.asymmetricKeyType === "ed25519" ? null : "sha256"
    const good = verify(hash, data, { key: publicKey, dsaEncoding: "ieee-p1363" }, signature)
    if (!good) throw new Error("the signature does not verify against the certificate")
    session.close()
  } finally {
    module.finalize()
  }
}

function openToken(module: Module, label: string): Session {
  const slots = module.getSlots(true)
  for (let index = 0; index < slots.length; index++) {
    const slot = slots.items(index)
    if (slot.getToken().label.trimEnd() === label) return slot.open(SessionFlag.SERIAL_SESSION)
  }
  throw new Error("the module shows no token with the label")
}

/** By CKA_ID, as servers are told to look for it. */
function privateKey(session: Session, id: Buffer): PrivateKey {
  const found = session.find({ class: ObjectClass.PRIVATE_KEY, id })
  if (found.length === 0) throw new Error("the token shows no private key of the certificate")
  return found.items(0).toType<PrivateKey>()
}

function mechanismFor(type: number): MechanismType {
  if (type === KeyType.RSA) return "SHA256_RSA_PKCS"
  return type === CKK_EC_EDWARDS ? CKM_EDDSA : "ECDSA_SHA256"
}

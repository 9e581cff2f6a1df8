// Uses a token by graphene-pk11, as a program of its own: prints what it got as JSON.
// Arguments: module, token label, mechanisms (comma-separated names). TOKEN_PIN is its PIN.
import { createHash } from "node:crypto"
import graphene from "graphene-pk11"

const [, , modulePath, label, mechanismNames] = process.argv
const DATA = Buffer.from("what is signed")
const SALT_BYTES = 32
/** DigestInfo of SHA-256 but for the hash: RFC 8017, 9.2, note 1. */
const SHA256_DIGEST_INFO = Buffer.from("3031300d060960864801650304020105000420", "hex")

const module = graphene.Module.load(modulePath, "tlskeep")
module.initialize()
const slots = module.getSlots(true)
const slot = [...Array(slots.length).keys()]
  .map((index) => slots.items(index))
  .find((each) => each.getToken().label.trim() === label)
const session = slot.open(graphene.SessionFlag.SERIAL_SESSION)
session.login(process.env.TOKEN_PIN)

const [key] = session.find({ class: graphene.ObjectClass.PRIVATE_KEY })
const [certificate] = session.find({ class: graphene.ObjectClass.CERTIFICATE, label })
const [publicKey] = session.find({ class: graphene.ObjectClass.PUBLIC_KEY })

/** What a mechanism is given: DATA, or where it does not hash, DATA's SHA-256 in the form it takes. */
function inputOf(name) {
  if (name.includes("SHA")) return DATA
  const hash = createHash("sha256").update(DATA).digest()
  return name === "CKM_RSA_PKCS" ? Buffer.concat([SHA256_DIGEST_INFO, hash]) : hash
}

function mechanismOf(name) {
  if (!name.includes("PSS")) return name
  const [, bits = "256"] = /SHA(\d+)/.exec(name) ?? []
  const digest = graphene.MechanismEnum[`SHA${bits}`]
  const mgf = graphene.RsaMgf[`MGF1_SHA${bits}`]
  return { name, params: new graphene.RsaPssParams(digest, mgf, SALT_BYTES) }
}

const signatures = Object.fromEntries(
  mechanismNames.split(",").map((name) => {
    const signer = session.createSign(mechanismOf(name.replace("CKM_", "")), key.toType())
    if (name.includes("SHA")) {
      signer.update(DATA.subarray(0, 4))
      signer.update(DATA.subarray(4))
      return [name, signer.final().toString("hex")]
    }
    return [name, signer.once(inputOf(name)).toString("hex")]
  }),
)

const answer = {
  data: DATA.toString("hex"),
  signatures,
  certificate: certificate.getAttribute({ value: null }).value.toString("hex"),
  publicKeyLabel: publicKey.getAttribute({ label: null }).label,
}
session.logout()
session.close()
module.finalize()
process.stdout.write(JSON.stringify(answer))

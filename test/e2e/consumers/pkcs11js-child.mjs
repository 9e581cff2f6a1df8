// Uses a token by pkcs11js, as a program of its own: prints what it got as JSON.
// Arguments: module, token label, mechanisms (comma-separated names). TOKEN_PIN is its PIN.
import { createHash } from "node:crypto"
import pkcs11js from "pkcs11js"

const [, , modulePath, label, mechanismNames] = process.argv
const DATA = Buffer.from("what is signed")
const SALT_BYTES = 32
/** DigestInfo of SHA-256 but for the hash: RFC 8017, 9.2, note 1. */
const SHA256_DIGEST_INFO = Buffer.from("3031300d060960864801650304020105000420", "hex")

const module = new pkcs11js.PKCS11()
module.load(modulePath)
module.C_Initialize()

/** The CK_RV that a call ends with. */
function codeOf(call) {
  try {
    call()
    return 0
  } catch (error) {
    return error.code
  }
}

const slot = module
  .C_GetSlotList(true)
  .find((each) => module.C_GetTokenInfo(each).label.trim() === label)
const session = module.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION)

function find(template) {
  module.C_FindObjectsInit(session, template)
  const found = module.C_FindObjects(session, 10)
  module.C_FindObjectsFinal(session)
  return found
}

const privateKeys = [{ type: pkcs11js.CKA_CLASS, value: pkcs11js.CKO_PRIVATE_KEY }]
const beforeLogin = find(privateKeys).length
const wrongPin = codeOf(() => module.C_Login(session, pkcs11js.CKU_USER, "not the PIN"))
module.C_Login(session, pkcs11js.CKU_USER, process.env.TOKEN_PIN)
const [key] = find(privateKeys)

/** What a mechanism is given: DATA, or where it does not hash, DATA's SHA-256 in the form it takes. */
function inputOf(name) {
  if (name.includes("SHA")) return DATA
  const hash = createHash("sha256").update(DATA).digest()
  return name === "CKM_RSA_PKCS" ? Buffer.concat([SHA256_DIGEST_INFO, hash]) : hash
}

function mechanismOf(name) {
  if (!name.includes("PSS")) return { mechanism: pkcs11js[name] }
  const [, bits = "256"] = /SHA(\d+)/.exec(name) ?? []
  const parameter = {
    type: pkcs11js.CK_PARAMS_RSA_PSS,
    hashAlg: pkcs11js[`CKM_SHA${bits}`],
    mgf: pkcs11js[`CKG_MGF1_SHA${bits}`],
    saltLen: SALT_BYTES,
  }
  return { mechanism: pkcs11js[name], parameter }
}

const signatures = Object.fromEntries(
  mechanismNames.split(",").map((name) => {
    module.C_SignInit(session, mechanismOf(name), key)
    return [name, module.C_Sign(session, inputOf(name), Buffer.alloc(1024)).toString("hex")]
  }),
)

const [hashed] = mechanismNames.split(",").filter((name) => name.includes("SHA256"))
const sign = (bytes) => module.C_Sign(session, DATA, Buffer.alloc(bytes))
module.C_SignInit(session, mechanismOf(hashed), key)
const shortBuffer = codeOf(() => sign(10))
const afterShortBuffer = sign(1024).toString("hex")

const isRsa = hashed.includes("RSA")
const secret = isRsa ? pkcs11js.CKA_PRIVATE_EXPONENT : pkcs11js.CKA_VALUE
const codes = {
  wrongPin,
  secondLogin: codeOf(() => module.C_Login(session, pkcs11js.CKU_USER, process.env.TOKEN_PIN)),
  shortBuffer,
  signWithoutInit: codeOf(() => sign(1024)),
  value: codeOf(() => module.C_GetAttributeValue(session, key, [{ type: secret }])),
  mechanism: codeOf(() => module.C_SignInit(session, { mechanism: pkcs11js.CKM_AES_CBC }, key)),
  keyHandle: codeOf(() => module.C_SignInit(session, mechanismOf(hashed), Buffer.alloc(8, 0x7f))),
  sessionHandle: codeOf(() => module.C_GetSessionInfo(Buffer.alloc(8, 0x7f))),
}

const idAndLabel = module
  .C_GetAttributeValue(session, key, [{ type: pkcs11js.CKA_ID }, { type: pkcs11js.CKA_LABEL }])
  .map(({ value }) => value.toString("hex"))

module.C_Finalize()
const answer = { data: DATA.toString("hex"), beforeLogin, signatures, afterShortBuffer, codes }
process.stdout.write(JSON.stringify({ ...answer, hashed, idAndLabel }))

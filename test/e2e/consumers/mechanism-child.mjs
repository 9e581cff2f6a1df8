// Prints a token's mechanisms and the key sizes they take as JSON, and the numbers of named mechanisms.
// Arguments: module, token label, names (comma-separated).
import pkcs11js from "pkcs11js"

const [, , modulePath, label, names] = process.argv
const module = new pkcs11js.PKCS11()
module.load(modulePath)
module.C_Initialize()
const slot = module
  .C_GetSlotList(true)
  .find((each) => module.C_GetTokenInfo(each).label.trim() === label)
const mechanisms = module.C_GetMechanismList(slot).map((mechanism) => {
  const { minKeySize, maxKeySize } = module.C_GetMechanismInfo(slot, mechanism)
  return { mechanism, minKeySize, maxKeySize }
})
// PKCS #11 3.0, which pkcs11js does not name.
const known = { CKM_EDDSA: 0x1057, ...pkcs11js }
const numbers = Object.fromEntries(names.split(",").map((name) => [name, known[name]]))
module.C_Finalize()
process.stdout.write(JSON.stringify({ mechanisms, numbers }))

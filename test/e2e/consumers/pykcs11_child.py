"""Uses a token by PyKCS11, as a program of its own: prints signatures by mechanism as JSON.

Arguments: module, token label, mechanisms (comma-separated names). TOKEN_PIN is its PIN.
"""
import json
import os
import sys

import PyKCS11

DATA = b"what is signed"
SALT_BYTES = 32
module_path, label, mechanism_names = sys.argv[1:]


def mechanism_of(name):
    if "PSS" not in name:
        return PyKCS11.Mechanism(PyKCS11.CKM[name], None)
    bits = name[len("CKM_SHA") :][:3]
    digest, mgf = PyKCS11.CKM[f"CKM_SHA{bits}"], PyKCS11.CKG[f"CKG_MGF1_SHA{bits}"]
    return PyKCS11.RSA_PSS_Mechanism(PyKCS11.CKM[name], digest, mgf, SALT_BYTES)


library = PyKCS11.PyKCS11Lib()
library.load(module_path)
slots = library.getSlotList(tokenPresent=True)
(slot,) = [each for each in slots if library.getTokenInfo(each).label.strip() == label]
session = library.openSession(slot)
session.login(os.environ["TOKEN_PIN"])
(key,) = session.findObjects([(PyKCS11.CKA_CLASS, PyKCS11.CKO_PRIVATE_KEY)])
signatures = {
    name: bytes(session.sign(key, DATA, mechanism_of(name))).hex()
    for name in mechanism_names.split(",")
}
session.logout()
session.closeSession()
print(json.dumps({"data": DATA.hex(), "signatures": signatures}))

"""Calls each exported function of a PKCS #11 module with nothing but zeros, and prints the CK_RVs as JSON.

Arguments: module, functions (comma-separated names). What is implemented finds an argument or a handle
amiss; what is not says so.
"""
import ctypes
import json
import sys

CKF_DONT_BLOCK = 1
# More than any function takes: the surplus is not looked at.
ARGUMENTS = 12

module_path, names = sys.argv[1:]
module = ctypes.CDLL(module_path)


def call(name):
    function = getattr(module, name)
    function.restype = ctypes.c_ulong
    # C_WaitForSlotEvent would wait.
    first = CKF_DONT_BLOCK if name == "C_WaitForSlotEvent" else 0
    arguments = [ctypes.c_void_p(first)] + [ctypes.c_void_p(0)] * (ARGUMENTS - 1)
    return function(*arguments)


initialized = call("C_Initialize")
assert initialized == 0, hex(initialized)
last = ("C_Finalize",)
answers = {name: call(name) for name in names.split(",") if name not in last}
answers.update({name: call(name) for name in names.split(",") if name in last})
print(json.dumps(answers))

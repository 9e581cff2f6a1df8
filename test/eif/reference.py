"""Builds and measures an enclave image from its published description, by nothing but Python's own
modules: what the TypeScript builder is compared with. Reads a request as JSON from standard input:
{"output", "arch", "cmdline", "kernel", "ramdisks": [..], "metadata": "..", "signature": ".."?, "cert"?}
where parts are files; prints {"PCR0", "PCR1", "PCR2", "PCR8"?}."""
import hashlib
import json
import struct
import sys
import zlib

request = json.load(sys.stdin)


def content(path):
    with open(path, "rb") as file:
        return file.read()


kernel = content(request["kernel"])
cmdline = request["cmdline"].encode()
metadata = content(request["metadata"])
ramdisks = [content(path) for path in request["ramdisks"]]
sections = [(1, kernel), (2, cmdline), (5, metadata)] + [(3, disk) for disk in ramdisks]
if "signature" in request:
    sections.append((4, content(request["signature"])))

offsets, sizes, body = [0] * 32, [0] * 32, b""
for index, (kind, data) in enumerate(sections):
    offsets[index] = 548 + len(body)
    sizes[index] = len(data)
    body += struct.pack(">HHQ", kind, 0, len(data)) + data
header = struct.pack(
    ">4sHHQQHH32Q32QI", b".eif", 4, 1 if request["arch"] == "aarch64" else 0,
    1 << 30, 2, 0, len(sections), *offsets, *sizes, 0,
)
crc = zlib.crc32(body, zlib.crc32(header))
with open(request["output"], "wb") as file:
    file.write(header + struct.pack(">I", crc) + body)


def pcr(*parts):
    digest = hashlib.sha384(b"".join(parts)).digest()
    return hashlib.sha384(bytes(48) + digest).hexdigest()


pcrs = {
    "PCR0": pcr(kernel, cmdline, *ramdisks),
    "PCR1": pcr(kernel, cmdline, *ramdisks[:1]),
    "PCR2": pcr(*ramdisks[1:]),
}
if "cert" in request:
    pcrs["PCR8"] = pcr(content(request["cert"]))
print(json.dumps(pcrs))

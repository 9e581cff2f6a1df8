"""Lists a cpio archive (newc) of standard input as JSON, by the format's description alone: entries as
[name, mode, uid, gid, links, mtime, size, device, SHA-256 of the content], in their order."""
import hashlib
import json
import sys

data = sys.stdin.buffer.read()
at, entries = 0, []
while True:
    assert data[at:at + 6] == b"070701", at
    fields = [int(data[at + 6 + 8 * i:at + 14 + 8 * i], 16) for i in range(13)]
    _ino, mode, uid, gid, links, mtime, size, dev, minor, rdev, rminor, namesize, check = fields
    name = data[at + 110:at + 110 + namesize - 1].decode()
    assert data[at + 110 + namesize - 1] == 0
    content = (at + 110 + namesize + 3) & ~3
    if name == "TRAILER!!!":
        break
    digest = hashlib.sha256(data[content:content + size]).hexdigest()
    entries.append([name, oct(mode), uid, gid, links, mtime, size, [dev, minor, rdev, rminor, check], digest])
    at = (content + size + 3) & ~3
assert len(data) % 512 == 0 and not any(data[content:])
json.dump(entries, sys.stdout)

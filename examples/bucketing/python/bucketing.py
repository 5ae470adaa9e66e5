"""Checks bucketing flagd-v2 against the vectors: python3 bucketing.py ../vectors.json"""

import json
import sys

MASK = 0xFFFFFFFF


def rotate(value: int, by: int) -> int:
    return (value << by | value >> (32 - by)) & MASK


def murmur3(data: bytes) -> int:
    """MurmurHash3_x86_32 with seed 0. Python's integers have no end, so each product is cut to 32 bits."""
    value = 0
    for start in range(0, len(data), 4):
        part = data[start : start + 4]
        block = int.from_bytes(part, "little") * 0xCC9E2D51 & MASK
        value ^= rotate(block, 15) * 0x1B873593 & MASK
        if len(part) == 4:
            value = (rotate(value, 13) * 5 + 0xE6546B64) & MASK
    value ^= len(data)
    value = (value ^ value >> 16) * 0x85EBCA6B & MASK
    value = (value ^ value >> 13) * 0xC2B2AE35 & MASK
    return value ^ value >> 16


def bucket(hashed: int) -> int:
    return hashed * 10_000 >> 32


with open(sys.argv[1], encoding="utf-8") as file:
    vectors = json.load(file)["vectors"]

failed = 0
for vector in vectors:
    found = murmur3((vector["salt"] + vector["user_id"]).encode("utf-8"))
    if found != vector["hash"] or bucket(found) != vector["bucket"]:
        print(f"{vector}: found hash {found}, bucket {bucket(found)}", file=sys.stderr)
        failed += 1

print(f"{len(vectors) - failed} of {len(vectors)} vectors passed")
sys.exit(failed > 0 or not vectors)

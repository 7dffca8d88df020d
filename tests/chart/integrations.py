"""Reads blocks of HCL from standard input, a JSON list. Prints what they say, as JSON."""

import json
import sys

import hcl2


def plain(value):
    """Texts without their quotes, lists and blocks without the parser's marks."""
    if isinstance(value, dict):
        return {plain(key): plain(inner) for key, inner in value.items() if key != "__is_block__"}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, str) and value.startswith('"'):
        return value[1:-1]
    if isinstance(value, str) and value.startswith("${yamlencode("):
        argument = value.removeprefix("${yamlencode(").removesuffix(")}")
        return plain(hcl2.loads(f"argument = {argument}\n"))["argument"]
    return value


print(json.dumps([plain(hcl2.loads(block + "\n")) for block in json.load(sys.stdin)]))

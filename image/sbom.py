"""Makes the image's CycloneDX document of the binary's: the crates as cargo-cyclonedx names them, what is linked in
beside them, and the CA roots. Called by image/sbom with the binary's document and the architecture.

The same sources and tools give the same bytes: there is no random serial number, and the time is SOURCE_DATE_EPOCH.
"""

import datetime
import json
import os
import pathlib
import re
import subprocess
import sys


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def locked(crate):
    lock = pathlib.Path("Cargo.lock").read_text()
    found = re.search(rf'\[\[package\]\]\nname = "{re.escape(crate)}"\nversion = "(.+)"', lock)
    if not found:
        sys.exit(f"no {crate} in Cargo.lock")
    return found.group(1)


def component(kind, name, version, **more):
    return {"type": kind, "name": name, "version": version, "bom-ref": f"{name}@{version}", **more}


def main():
    bom_of_binary, arch = sys.argv[1:]
    bom = json.loads(pathlib.Path(bom_of_binary).read_text())
    digest = pathlib.Path(f"target/image/realtime-token-operator-{arch}.digest").read_text().strip()
    binary = bom["metadata"]["component"]
    version = binary["version"]

    rust = output("rustc", "--version").split()[1]
    libc = re.search(r"(\d+\.\d+)", output("ldd", "--version").splitlines()[0]).group(1)
    roots = locked("webpki-root-certs")
    linked = [
        component("library", "rust-std", rust, licenses=[{"expression": "MIT OR Apache-2.0"}]),
        component("library", "glibc", libc, licenses=[{"license": {"id": "LGPL-2.1-or-later"}}]),
        component(
            "data",
            "webpki-root-certs",
            roots,
            purl=f"pkg:cargo/webpki-root-certs@{roots}",
            licenses=[{"license": {"id": "CDLA-Permissive-2.0"}}],
        ),
    ]
    algorithm, _, content = digest.partition(":")
    image = component(
        "container",
        "realtime-token-operator",
        version,
        purl=f"pkg:oci/realtime-token-operator@{digest}?arch={arch}",
        hashes=[{"alg": algorithm.upper().replace("SHA", "SHA-"), "content": content}],
    )
    image["bom-ref"] = image["purl"]

    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or output("git", "log", "-1", "--format=%ct"))
    time = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc)
    bom.pop("serialNumber", None)
    bom["metadata"]["timestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ")
    bom["metadata"]["component"] = image
    bom["components"] = [binary, *bom.get("components", []), *linked]
    refs = [binary["bom-ref"], linked[-1]["bom-ref"]]
    bom["dependencies"] = [{"ref": image["bom-ref"], "dependsOn": refs}, *bom.get("dependencies", [])]
    for dependency in bom["dependencies"]:
        if dependency["ref"] == binary["bom-ref"]:
            dependency.setdefault("dependsOn", []).extend(part["bom-ref"] for part in linked[:-1])
    # The folder of this clone is nobody's business.
    text = json.dumps(bom, indent=2).replace(os.getcwd(), "")
    print(text)


main()

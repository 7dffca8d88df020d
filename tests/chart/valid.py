"""Validates rendered manifests: against the API schemas of several Kubernetes versions, strictly, and custom resources
against their CRD's own schema. Reads {"versions", "crds", "objects": [{"case", "object"}]}; prints what is wrong, and
how many objects it has looked at."""

import json
import sys

import jsonschema
import kubernetes_validate


def closed(schema):
    """The schema of a CRD as the API server takes it: fields that it doesn't name are no fields."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: closed(part) for key, part in schema.items()}
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema.setdefault("additionalProperties", False)
    return schema


def custom_schemas(crds):
    for crd in crds:
        for version in crd["spec"]["versions"]:
            schema = closed(version["schema"]["openAPIV3Schema"])
            # The API server knows these three itself.
            schema["properties"].update(apiVersion={}, kind={}, metadata={"type": "object"})
            api = crd["spec"]["group"] + "/" + version["name"]
            yield (api, crd["spec"]["names"]["kind"]), jsonschema.Draft7Validator(schema)


def main():
    job = json.load(sys.stdin)
    custom = dict(custom_schemas(job["crds"]))
    checked = 0
    for item in job["objects"]:
        case, manifest = item["case"], item["object"]
        title = f"{manifest.get('kind')} {manifest.get('metadata', {}).get('name')} of {case}"
        validator = custom.get((manifest.get("apiVersion"), manifest.get("kind")))
        if validator:
            checked += 1
            for problem in validator.iter_errors(manifest):
                print(f"{title}: {problem.json_path}: {problem.message[:300]}")
            continue
        if manifest.get("apiVersion", "").startswith("monitoring.coreos.com/"):
            continue  # the Prometheus operator's; nobody's schema is at hand
        for version in job["versions"]:
            checked += 1
            try:
                kubernetes_validate.validate(manifest, version, strict=True)
            except Exception as problem:
                where = ".".join(map(str, getattr(problem, "path", [])))
                print(f"{title} for {version}: {where}: {getattr(problem, 'message', problem)!s:.300}")
    print(f"checked {checked}")


main()

"""Validates manifests against JSON schemas: [{"name", "schema", "manifest"}]. Prints what is wrong, a line each."""

import json
import sys

import jsonschema

for case in json.load(sys.stdin):
    jsonschema.Draft7Validator.check_schema(case["schema"])
    for problem in jsonschema.Draft7Validator(case["schema"]).iter_errors(case["manifest"]):
        print(f"{case['name']}: {problem.json_path}: {problem.message[:300]}")

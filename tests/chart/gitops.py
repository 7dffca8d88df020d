"""Runs health checks: {"lua": script, "objects": [...]} in Lua 5.1, {"cel": expression, "objects": [...]} in CEL. Prints
a JSON list of what each object gives; null where an expression fails, as on a field that isn't there."""

import json
import sys
import types

# Its command line would bring ten more packages.
sys.modules["cel.cli"] = types.ModuleType("cel.cli")
import cel
import lupa.lua51


def health(script, manifest):
    lua = lupa.lua51.LuaRuntime()
    # As in Argo CD: no way to files, processes or modules.
    for library in ("io", "os", "require", "package", "debug"):
        lua.globals()[library] = None
    lua.globals()["obj"] = lua.table_from(manifest, recursive=True)
    return dict(lua.execute(script))


def holds(expression, manifest):
    try:
        return cel.evaluate(expression, manifest)
    except Exception:
        return None


job = json.load(sys.stdin)
if "lua" in job:
    print(json.dumps([health(job["lua"], manifest) for manifest in job["objects"]]))
else:
    print(json.dumps([holds(job["cel"], manifest) for manifest in job["objects"]]))

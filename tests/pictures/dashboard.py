"""The dashboard as an SVG, drawn from what a Prometheus answers to its queries."""

import json
import math
import re
import time
import urllib.parse
import urllib.request
from html import escape
from pathlib import Path

DASHBOARD = Path(__file__).resolve().parents[2] / "charts/realtime-token-operator/files/dashboard.json"
# The rows below show the operator itself.
LAST_ROW = "Kubernetes API"
COLUMN, ROW, GAP, STEP = 50, 24, 6, 10
COLOURS = ["#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#b877d9", "#8ab8ff", "#ff9830", "#fade2a"]
BACKGROUNDS = {"green": "#37872d", "orange": "#c15c17", "red": "#c4162a"}


class Prometheus:
    """Asks as Grafana does."""

    def __init__(self, url, seconds):
        self.url, self.end, self.seconds = url, time.time(), seconds
        self.variables = {"$__rate_interval": "1m", "$__range": f"{seconds}s"}

    def api(self, path, **query):
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}") as answer:
            return json.load(answer)["data"]

    def fill(self, expression):
        for name, value in self.variables.items():
            expression = expression.replace(name, value)
        return expression

    def choose_all(self, dashboard):
        """Gives each variable all of its values."""
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"]).groups()
                values = self.api(f"label/{label}/values", **{"match[]": self.fill(series)})
                self.variables["$" + variable["name"]] = f"({'|'.join(values)})"

    def now(self, target):
        return self.api("query", query=self.fill(target["expr"]), time=self.end)["result"]

    def history(self, target):
        """Name and points of each series."""
        query = {"query": self.fill(target["expr"]), "start": self.end - self.seconds, "end": self.end, "step": STEP}
        for series in self.api("query_range", **query)["result"]:
            label = lambda found: series["metric"].get(found[1], "")
            points = [(at, float(value)) for at, value in series["values"] if math.isfinite(float(value))]
            yield re.sub(r"{{(\w+)}}", label, target.get("legendFormat") or ""), points


def written(value, unit):
    """A value as people read it."""
    if unit == "percentunit":
        return f"{value * 100:.0f} %"
    if unit != "s":
        return f"{value:.3g}" + {"ops": " /s", "reqps": " /s"}.get(unit, "")
    if 0 < abs(value) < 1:
        return f"{value * 1000:.3g} ms"
    for seconds, name in ((172800, "d"), (600, "min")):
        if value > seconds:
            return f"{value / (86400 if name == 'd' else 60):.0f} {name}"
    return f"{value:.3g} s"


def text(x, y, content, size=11, colour="#ccccdc", anchor="start"):
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}">{escape(content)}</text>'


def stat(panel, prometheus, x, y, width, height):
    result = prometheus.now(panel["targets"][0])
    value = float(result[0]["value"][1]) if result else math.nan
    defaults = panel["fieldConfig"]["defaults"]
    steps = defaults.get("thresholds", {}).get("steps", [])
    reached = [it["color"] for it in steps if it["value"] is None or value >= it["value"]]
    fill = BACKGROUNDS.get(reached[-1] if reached else "", "#181b1f")
    shown = written(value, defaults.get("unit")) if math.isfinite(value) else "No data"
    drawn = f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="3" fill="{fill}"/>'
    return [drawn, text(x + width / 2, y + height / 2 + 20, shown, 28, "#ffffff", "middle")]


def table(panel, prometheus, x, y, width, height):
    del width, height
    merged = {}
    for target in panel["targets"]:
        for series in prometheus.now(target):
            name = "/".join(series["metric"].get(it, "") for it in ("namespace", "name"))
            merged.setdefault(name, []).append(f"{float(series['value'][1]):.0f}")
    if not merged:
        return [text(x + 10, y + 50, "nothing")]
    return [text(x + 10, y + 46 + 16 * i, f"{name}  {', '.join(it)}") for i, (name, it) in enumerate(merged.items())]


def timeseries(panel, prometheus, x, y, width, height):
    unit = panel["fieldConfig"]["defaults"].get("unit")
    series = [it for target in panel["targets"] for it in prometheus.history(target) if it[1]]
    # The legend has no place for all: those that matter first.
    series.sort(key=lambda it: -max(value for _, value in it[1]))
    left, right, top, bottom = x + 52, x + width - 10, y + 30, y + height - 40
    highest = max((value for _, points in series for _, value in points), default=0) or 1
    drawn = []
    for share in (0, 0.5, 1):
        at = bottom - share * (bottom - top)
        drawn.append(f'<path d="M{left} {at:.0f}H{right}" stroke="#2c3235"/>')
        drawn.append(text(left - 5, at + 4, written(share * highest, unit), 10, "#8e8e9e", "end"))
    for minutes in range(0, prometheus.seconds // 60 + 1, 2):
        at = right - minutes * 60 / prometheus.seconds * (right - left)
        drawn.append(text(at, bottom + 14, f"-{minutes} min" if minutes else "now", 10, "#8e8e9e", "middle"))
    legend = left
    for (name, points), colour in zip(series, COLOURS * 3):
        start = prometheus.end - prometheus.seconds
        place = lambda at, value: (
            left + (at - start) / prometheus.seconds * (right - left),
            bottom - max(0, value) / highest * (bottom - top),
        )
        path, last = "", 0
        for at, value in points:
            px, py = place(at, value)
            # A gap stays a gap.
            path += f"{'L' if at - last <= STEP * 1.5 else 'M'}{px:.0f} {py:.0f}"
            last = at
        drawn.append(f'<path d="{path}" fill="none" stroke="{colour}"/>')
        if legend + 6.2 * len(name) < right:
            drawn.append(f'<rect x="{legend:.0f}" y="{bottom + 25}" width="12" height="3" fill="{colour}"/>')
            drawn.append(text(legend + 16, bottom + 30, name, 10))
            legend += 28 + 5.6 * len(name)
    return drawn if series else [*drawn, text(x + width / 2, (top + bottom) / 2, "No data", 14, "#8e8e9e", "middle")]


def draw(url, seconds):
    dashboard = json.loads(DASHBOARD.read_text())
    prometheus = Prometheus(url, seconds)
    prometheus.choose_all(dashboard)
    panels = dashboard["panels"]
    last = next((it["gridPos"]["y"] for it in panels if it["title"] == LAST_ROW), 1000)
    panels = [it for it in panels if it["gridPos"]["y"] < last]
    whole = max(it["gridPos"]["y"] + it["gridPos"]["h"] for it in panels) * ROW + GAP
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {24 * COLUMN + GAP} {whole}" font-family="Inter,Helvetica,Arial,sans-serif">',
        "<title>The dashboard, drawn from Prometheus' answers to its queries during a demo</title>",
        f'<rect width="{24 * COLUMN + GAP}" height="{whole}" fill="#111217"/>',
    ]
    for panel in panels:
        grid = panel["gridPos"]
        x, y = grid["x"] * COLUMN + GAP, grid["y"] * ROW + GAP
        width, height = grid["w"] * COLUMN - GAP, grid["h"] * ROW - GAP
        if panel["type"] == "row":
            drawn.append(text(x + 4, y + 14, panel["title"], 14, "#ffffff"))
            continue
        drawn.append(f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="3" fill="#181b1f" stroke="#2c3235"/>')
        drawn += {"stat": stat, "table": table, "timeseries": timeseries}[panel["type"]](panel, prometheus, x, y, width, height)
        drawn.append(text(x + 10, y + 19, panel["title"], 12, "#ffffff"))
    return "\n".join([*drawn, "</svg>", ""])

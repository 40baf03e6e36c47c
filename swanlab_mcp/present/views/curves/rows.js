"use strict";

// The tables of the page: curves with their values at the cursor, and runs with their settings and results.

function buildLines() {
  const { experiments, keys, runs, is_grouped: isGrouped } = state.data;
  const rows = experiments.map((experiment, number) => ({
    number, ...experiment, run: isGrouped ? null : runs?.rows[number], curves: keys.map((key) => state.curves.find((curve) => curve.experiment === number && curve.key === key)),
  }));
  const columns = [{ name: translate("name"), read: (row) => row.name, build: (row) => makeToggle(row.name, "solid", row.number, state.hiddenRows, row.number), isText: true }];
  if (isGrouped) columns.push({ name: "n", read: (row) => row.n });
  const isShort = keys.length === 1;
  for (const [index, key] of keys.entries()) {
    const curveOf = (row) => row.curves[index];
    columns.push({ name: isShort ? translate("value") : key, read: (row) => readNow(curveOf(row))?.value ?? null, show: (row) => showNow(curveOf(row)) });
    if (state.curves.some((curve) => curve.key === key && curve.best)) {
      columns.push({ name: isShort ? translate("best_value") : translate("best_of", key), read: (row) => (curveOf(row)?.best ? Number(curveOf(row).best.value) : null), show: (row) => showPoint(curveOf(row)?.best) });
    }
  }
  if (!isGrouped && runs && rows.length > 1) columns.push(...listConfigColumns(runs.keys.slice(0, 3), (row) => row.run));
  lines = makeTable(translate("lines"), state.curves.every((curve) => curve.dots) ? columns.slice(0, 2) : columns, rows);
  get("lines").replaceChildren(lines.table);
}

function listConfigColumns(keys, runOf) {
  return keys.map((key, index) => ({
    name: key, read: (row) => runOf(row).config[index], isText: state.data.runs.rows.some((run) => typeof run.config[index] === "string"),
  }));
}

// draw the sweep only when it is opened, because the picture needs a width
function buildSweep() {
  const { runs } = state.data;
  get("sweep").hidden = !runs || runs.rows.length < 2 || !runs.keys.length || !runs.metrics.length;
  if (get("sweep").hidden || !get("sweep").open) return;
  const { picture, lines: paths } = drawSweep(runs, state.metric, getTheme(), get("sweep").clientWidth);
  get("parallel").replaceChildren(picture);
  const columns = [
    { name: translate("run"), read: (run) => run.name, build: (run) => make("span", "name", run.name), isText: true },
    ...listConfigColumns(runs.keys, (run) => run),
    ...runs.metrics.map(({ key, best }, index) => ({ name: best ? translate("best_of", key) : translate("last_of", key), read: (run) => run.values[index] })),
  ];
  const { table, entries } = makeTable(translate("runs"), columns, runs.rows);
  for (const [index, { line }] of entries.entries()) {
    line.addEventListener("mouseenter", () => paths[index].classList.add("marked"));
    line.addEventListener("mouseleave", () => paths[index].classList.remove("marked"));
  }
  get("runs").replaceChildren(table);
}

// return a curve's point at the cursor, or its last one
function readNow(curve) {
  const panel = curve && panels.find((one) => one.number === curve.panel);
  if (!panel || isHidden(curve)) return null;
  const { points } = panel.placed.find((one) => one.curve === curve);
  return (state.cursor === null ? points[points.length - 1] : panel.read(curve, state.cursor)) ?? null;
}

function showNow(curve) {
  if (curve && isHidden(curve)) return translate("hidden");
  const point = readNow(curve);
  if (!point) return "–";
  const smoothed = state.weight && Number.isFinite(point.value) ? ` (~${showValue(point.drawn)})` : "";
  const isAtCursor = state.axis === "step" && !state.isLogX && point.x === state.cursor;
  return showValue(point.value) + smoothed + (isAtCursor || curve.xs ? "" : ` @ ${point.step}`);
}

function showPoint(point) {
  return point ? `${showValue(Number(point.value))} @ ${point.step}` : "–";
}

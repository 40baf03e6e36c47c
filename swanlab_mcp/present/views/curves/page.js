"use strict";

const DATA = "swanlab-mcp-server/curves";
const get = (id) => document.getElementById(id);
const state = {
  context: {}, curves: null, data: null, hiddenRows: new Set(), hiddenKeys: new Set(), axis: "step", isLogX: false, isLogY: false,
  weight: 0, range: null, cursor: null, metric: 0,
};
let panels = [], ends = [0, 1], unit = "";
let lines = null; // the table of the curves
let isScheduled = false;

function getTheme() {
  return state.context.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

function isHidden(curve) {
  return state.hiddenRows.has(curve.experiment) || state.hiddenKeys.has(curve.key);
}

function showStatus(word) {
  const status = get("status");
  status.hidden = !word;
  status.textContent = word ? translate(word) : "";
  // shown again when the language changes
  if (word) status.dataset.word = word;
  else delete status.dataset.word;
}

function applyContext(changes) {
  Object.assign(state.context, changes);
  const root = document.documentElement;
  root.dataset.theme = getTheme();
  for (const [name, value] of Object.entries(changes.styles?.variables ?? {})) {
    if (name.startsWith("--") && typeof value === "string") root.style.setProperty(name, value);
  }
  setLanguage(state.context.locale ?? state.data?.language ?? navigator.language);
  const insets = state.context.safeAreaInsets;
  if (insets) document.body.style.padding = ["top", "right", "bottom", "left"].map((side) => `${12 + insets[side]}px`).join(" ");
  if (state.curves) {
    buildPanels();
    buildLines();
    listEvents();
    listChoices();
    schedule();
  }
}

function receive(result) {
  const data = result._meta?.[DATA];
  const isComplete = Array.isArray(data?.curves) && Array.isArray(data.experiments) && data.curves.length > 0;
  showAnswer(result, isComplete);
  get("view").hidden = !isComplete;
  if (!isComplete) {
    showStatus(result.isError ? "failed" : "missing");
    return;
  }
  showStatus(null);
  data.keys = [...new Set(data.curves.map((curve) => curve.key))];
  const curves = readCurves(data);
  const axes = listAxes(curves, data.is_grouped);
  Object.assign(state, {
    data, curves, axes, hiddenRows: new Set(), hiddenKeys: new Set(), range: null, cursor: null, metric: 0,
    axis: axes.includes(data.x_axis) ? data.x_axis : axes[0], isLogX: data.log_x, isLogY: data.log_y, weight: data.smoothing,
  });
  const isScatter = curves.every((curve) => curve.dots);
  get("title").textContent = data.experiments.length === 1 && !isScatter ? data.experiments[0].name : data.keys.join(", ");
  get("log").checked = state.isLogY;
  get("log-x").checked = state.isLogX;
  get("smoothing").value = String(state.weight);
  get("smoothing").closest("label").hidden = isScatter;
  get("lines").hidden = isScatter && data.experiments.length === 1;
  get("sweep").open = isScatter;
  // use the server's language if the host sends none
  applyContext({});
  draw();
}

// show the tool's reply, collapsed if there is a chart and in full otherwise
function showAnswer(result, isDrawn) {
  const blocks = Array.isArray(result.content) ? result.content : [];
  get("pictures").replaceChildren();
  for (const block of isDrawn ? [] : blocks) {
    if (block.type === "image" && /^image\/(png|jpeg|gif|webp)$/.test(block.mimeType) && /^[A-Za-z0-9+/=]*$/.test(block.data)) {
      const picture = make("img");
      picture.src = `data:${block.mimeType};base64,${block.data}`;
      picture.alt = "";
      get("pictures").append(picture);
    }
  }
  get("text").textContent = blocks.filter((block) => block.type === "text").map((block) => block.text).join("\n");
  get("reply").open = !isDrawn;
  get("answer").hidden = false;
}

function fillChoices(select, choices, chosen) {
  select.replaceChildren(...choices.map(([value, text]) => {
    const choice = make("option", "", text);
    choice.value = value;
    return choice;
  }));
  select.value = chosen;
}

function nameAxis(axis) {
  return axis === "given" ? state.data.x_name : axis === "relative_time" && unit ? translate(unit) : translate(axis);
}

function listChoices() {
  fillChoices(get("axis"), state.axes.map((axis) => [axis, axis === "given" ? state.data.x_name : translate(axis)]), state.axis);
  const { runs } = state.data;
  fillChoices(get("metric"), (runs?.metrics ?? []).map(({ key }, index) => [index, key]), state.metric);
  get("ranked").hidden = (runs?.metrics.length ?? 0) < 2;
}

function toggle(hidden, item) {
  if (!hidden.delete(item)) hidden.add(item);
  draw();
}

// a panel's caption names its metrics; if there are several, each name is a button that hides the metric
function buildPanels() {
  const numbers = [...new Set(state.curves.map((curve) => curve.panel))];
  get("panels").replaceChildren(...numbers.map((number) => {
    const keys = new Map(state.curves.filter((curve) => curve.panel === number).map((curve) => [curve.key, curve.dash]));
    const figure = make("figure");
    const caption = make("figcaption");
    if (keys.size === 1) caption.textContent = [...keys.keys()][0];
    else caption.append(...[...keys].map(([key, dash]) => makeToggle(key, BORDERS[dash], "", state.hiddenKeys, key)));
    caption.hidden = keys.size === 1 && numbers.length === 1;
    const plot = make("div", "plot");
    plot.tabIndex = 0;
    // the arrow keys belong to the chart
    plot.setAttribute("role", "application");
    plot.setAttribute("aria-label", `${[...keys.keys()].join(", ")}: ${translate("chart")}`);
    plot.addEventListener("keydown", (event) => moveCursor(event, panels.find((panel) => panel.number === number)));
    figure.append(caption, plot);
    return figure;
  }));
  get("panels").classList.toggle("several", numbers.length > 1);
}

function makeToggle(label, border, row, hidden, item) {
  const button = makeButton("", () => toggle(hidden, item));
  button.className = "toggle";
  const swatch = make("span", "swatch");
  swatch.style.borderTopStyle = border;
  swatch.dataset.row = row;
  const name = make("span", "name", label);
  name.title = label;
  button.append(swatch, name);
  button.isShown = () => !hidden.has(item);
  return button;
}

function listEvents() {
  const rows = state.curves.flatMap((curve) => curve.events.map((event) => {
    const row = make("li", event.kind);
    const glyph = make("span", "glyph", GLYPHS[event.kind]);
    glyph.dataset.row = curve.experiment;
    glyph.setAttribute("aria-hidden", "true");
    row.append(glyph, make("span", "", `${curve.label}: ${tellEvent(event)}`));
    return row;
  }));
  get("events").hidden = !rows.length;
  get("events").querySelector("summary").textContent = translate("events", rows.length);
  get("events").querySelector("ul").replaceChildren(...rows);
}

function listNotes() {
  const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
  const visible = state.curves.filter((curve) => !isHidden(curve));
  const notes = [];
  const thinned = visible.filter((curve) => curve.gaps);
  if (!visible.length) notes.push(translate("none"));
  const kinds = Object.keys(GLYPHS).filter((kind) => visible.some(({ events }) => events.some((event) => event.kind === kind)));
  if (kinds.length) notes.push(kinds.map((kind) => `${GLYPHS[kind]} ${translate("marks")[kind]}`).join(" · "));
  if (state.weight && kinds.includes("best")) notes.push(translate("starred"));
  if (visible.some((curve) => curve.low)) notes.push(translate(state.data.band === "minmax" ? "minmax" : "sd"));
  const outside = sum(panels.map((panel) => panel.outside));
  if (outside) notes.push(translate("outside", outside));
  if (thinned.length) {
    const text = translate("thinned", sum(thinned.map((curve) => curve.steps.length)), sum(thinned.map((curve) => curve.total)));
    notes.push(state.weight ? `${text} ${translate("counted")}` : text);
  }
  const sampled = visible.filter((curve) => curve.sampled).length;
  if (sampled) notes.push(translate("sampled", sampled));
  const odd = visible.filter((curve) => curve.non_finite);
  if (odd.length) notes.push(translate("odd", sum(odd.map((curve) => curve.non_finite)), odd.map((curve) => curve.label).join(", ")));
  const low = state.isLogY ? sum(visible.map((curve) => curve.values.filter((value) => value <= 0).length)) : 0;
  if (low) notes.push(translate("not_positive", low));
  const lost = sum(panels.flatMap((panel) => panel.placed.filter(({ curve }) => visible.includes(curve)).map((one) => one.lost)));
  if (lost) notes.push(translate(state.axis === "given" || state.axis === "step" ? "without_x" : "without_time", lost));
  get("notes").replaceChildren(...notes.map((note) => make("li", "", note)));
}

function showX(x) {
  const value = state.isLogX ? 10 ** x : x;
  return isTime() ? `${new Date(value * 1000).toISOString().replace("T", " ").slice(0, 19)} UTC`
    : `${nameAxis(state.axis)} ${showTicks([Number(value.toPrecision(6))])}`;
}

// true for the time axis, and for means over time
function isTime() {
  return state.axis === "time" || (state.axis === "given" && state.data.x_kind === "time");
}

function showValues() {
  const x = state.cursor;
  const named = x === null ? [] : state.curves.filter((curve) => curve.dots).map((curve) => readNow(curve)?.name).filter(Boolean);
  get("cursor").textContent = x === null ? (state.curves.every((curve) => curve.dots) ? "" : translate("last")) : [showX(x), ...named].join(" · ");
  lines.fill();
}

function measureHeight(count, width) {
  const fixed = state.context.containerDimensions?.height;
  if (!fixed) return Math.round(Math.max(count > 1 ? 200 : 240, Math.min(420, width * 0.55)));
  for (const rows of document.querySelectorAll(".rows")) rows.style.maxHeight = `${Math.round(fixed / 4)}px`;
  const others = document.documentElement.getBoundingClientRect().height - get("panels").getBoundingClientRect().height;
  return Math.round(Math.max(160, (fixed - others) / count));
}

function draw() {
  if (!state.curves) return;
  const figures = [...get("panels").children];
  const width = Math.floor(figures[0].clientWidth);
  if (!width) return;
  const theme = getTheme();
  state.cursor = null;
  const { axis, isLogX, isLogY, weight, range } = state;
  const whole = placeCurves(state.curves, axis, weight, isLogX, state.data.colours);
  unit = whole.unit;
  ends = findEnds(whole.placed);
  const styles = {
    ink: getComputedStyle(get("notes")).color, line: getComputedStyle(get("axis")).borderTopColor, family: getComputedStyle(document.body).fontFamily,
  };
  const look = { axis, isLogX, isLogY, weight, range, ends, theme, styles, isHidden, isTime: isTime(), xName: nameAxis(axis), width, height: measureHeight(figures.length, width) };
  for (const panel of panels) panel.plot.destroy();
  panels = [...new Set(state.curves.map((curve) => curve.panel))].map((number, index) => {
    const placed = whole.placed.filter(({ curve }) => curve.panel === number);
    return { number, ...drawPanel(figures[index].querySelector(".plot"), { ...look, placed }, { onRange: setRange, onCursor: setCursor }) };
  });
  if (range) zoomTo(range);
  get("weight").textContent = weight.toFixed(2);
  for (const element of document.querySelectorAll("[data-row]")) {
    const owner = state.curves.find((curve) => String(curve.experiment) === element.dataset.row);
    const colour = !owner ? "currentColor" : owner.shades ? shadeOf(0.5, theme) : owner.isNeutral ? NEUTRAL[theme] : colourOf(owner.experiment, theme);
    element.style[element.className === "swatch" ? "borderTopColor" : "color"] = colour;
  }
  showColours(theme);
  for (const button of document.querySelectorAll(".toggle")) button.setAttribute("aria-pressed", String(button.isShown()));
  listNotes();
  showValues();
  buildSweep();
}

function showColours(theme) {
  const { colours } = state.data;
  get("colours").hidden = !colours;
  if (!colours) return;
  get("colour-name").textContent = translate("colour", colours.name);
  get("lowest").textContent = showValue(colours.low);
  get("highest").textContent = showValue(colours.high);
  get("scale").style.backgroundImage = `linear-gradient(to right, ${SHADES[theme].join(", ")})`;
}

function schedule() {
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(() => {
    isScheduled = false;
    draw();
  });
}

function setRange(range) {
  state.range = range;
  for (const id of ["farther", "whole"]) get(id).disabled = range === null;
}

function setCursor(x) {
  if (x === state.cursor || !panels.length) return;
  state.cursor = x;
  showValues();
}

function zoomTo([min, max]) {
  for (const { plot } of panels) plot.setScale("x", { min, max });
}

// zoom around the cursor, or the middle
function zoom(factor) {
  const { min, max } = panels[0].plot.scales.x;
  const middle = state.cursor ?? (min + max) / 2;
  const from = Math.max(ends[0], middle - (middle - min) * factor), to = Math.min(ends[1], middle + (max - middle) * factor);
  if (from > ends[0] || to < ends[1]) zoomTo([from, to]);
  else resetZoom();
}

function resetZoom() {
  state.range = null;
  draw();
}

function moveCursor(event, { plot }) {
  const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!way) return;
  event.preventDefault();
  const xs = plot.data[0];
  const now = state.cursor === null ? (way > 0 ? -1 : xs.length) : xs.indexOf(state.cursor);
  const next = Math.max(0, Math.min(xs.length - 1, now + way));
  plot.setCursor({ left: plot.valToPos(xs[next], "x"), top: 0 }, true, true);
  get("spoken").textContent = [
    get("cursor").textContent, ...state.curves.filter((curve) => !isHidden(curve)).map((curve) => `${curve.label}: ${showNow(curve)}`),
  ].join("; ");
}

get("axis").addEventListener("change", ({ target }) => {
  state.axis = target.value;
  resetZoom();
});
get("log-x").addEventListener("change", ({ target }) => {
  state.isLogX = target.checked;
  resetZoom();
});
get("log").addEventListener("change", ({ target }) => {
  state.isLogY = target.checked;
  draw();
});
get("smoothing").addEventListener("input", ({ target }) => {
  state.weight = Number(target.value);
  schedule();
});
get("metric").addEventListener("change", ({ target }) => {
  state.metric = Number(target.value);
  buildSweep();
});
get("sweep").addEventListener("toggle", () => state.data && buildSweep());
get("closer").addEventListener("click", () => zoom(0.5));
get("farther").addEventListener("click", () => zoom(2));
get("whole").addEventListener("click", resetZoom);

const host = connectHost({
  ping: () => ({}),
  "ui/resource-teardown": () => {
    sizes.disconnect();
    for (const { plot } of panels) plot.destroy();
    panels = [];
    state.curves = null;
    return {};
  },
  "ui/notifications/tool-result": receive,
  "ui/notifications/tool-cancelled": () => showStatus("stopped"),
  "ui/notifications/host-context-changed": applyContext,
});

let drawn = 0;
const sizes = new ResizeObserver(() => {
  const { width, height } = document.documentElement.getBoundingClientRect();
  if (get("panels").clientWidth !== drawn) {
    drawn = get("panels").clientWidth;
    schedule();
  }
  host.notify("ui/notifications/size-changed", { width: Math.ceil(width), height: Math.ceil(height) });
});

async function begin() {
  applyContext({});
  showStatus("connecting");
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => applyContext({}));
  try {
    const { hostContext } = await host.request("ui/initialize", {
      protocolVersion: "2026-01-26",
      appInfo: { name: "swanlab-curves", version: "1" },
      appCapabilities: { availableDisplayModes: ["inline", "fullscreen"] },
    });
    applyContext(hostContext ?? {});
  } catch {
    showStatus("unknown");
    return;
  }
  if (!state.curves) showStatus("waiting");
  host.notify("ui/notifications/initialized", {});
  sizes.observe(document.documentElement);
}

begin();

"use strict";

const DATA = "swanlab-mcp-server/curves";
const get = (id) => document.getElementById(id);
const state = { context: {}, curves: null, data: null, hidden: new Set(), axis: "step", isLog: false, weight: 0, range: null, cursor: null };
let chart = null;
let isScheduled = false;

function getTheme() {
  return state.context.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

function say(word) {
  const status = get("status");
  status.hidden = !word;
  status.textContent = word ? tell(word) : "";
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
    buildLegend();
    listEvents();
    listAxisChoices();
    schedule();
  }
}

function receive(result) {
  const data = result._meta?.[DATA];
  const isComplete = Array.isArray(data?.curves) && Array.isArray(data.experiments) && data.curves.length > 0;
  showAnswer(result, isComplete);
  get("view").hidden = !isComplete;
  if (!isComplete) {
    say(result.isError ? "failed" : "missing");
    return;
  }
  say(null);
  const curves = readCurves(data);
  const axes = listAxes(curves);
  Object.assign(state, {
    data, curves, axes, hidden: new Set(), range: null, cursor: null,
    axis: axes.includes(data.x_axis) ? data.x_axis : "step", isLog: data.log_y, weight: data.smoothing,
  });
  const keys = new Set(curves.map((curve) => curve.key));
  get("title").textContent = keys.size === 1 && data.experiments.length > 1 ? curves[0].key
    : data.experiments.length === 1 ? data.experiments[0].name : [...keys].join(", ");
  get("log").checked = state.isLog;
  get("smoothing").value = String(state.weight);
  // use the server's language if the host sends none
  applyContext({});
  draw();
}

// show the tool's reply: folded next to a chart, complete without a chart
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
  get("told").open = !isDrawn;
  get("answer").hidden = false;
}

function listAxisChoices() {
  get("axis").replaceChildren(...state.axes.map((axis) => {
    const choice = make("option", "", tell(axis));
    choice.value = axis;
    return choice;
  }));
  get("axis").value = state.axis;
}

function makeToggle(label, curves, swatched) {
  const button = make("button");
  button.type = "button";
  button.dataset.curves = curves.map((curve) => curve.number).join(" ");
  for (const curve of swatched) {
    const swatch = make("span", "swatch");
    swatch.dataset.curve = curve.number;
    swatch.style.borderTopStyle = BORDERS[dashOf(curve)];
    button.append(swatch);
  }
  const name = make("span", "name", label);
  name.title = label;
  button.append(name);
  if (swatched.length) {
    const value = make("span", "value");
    value.dataset.curve = swatched[0].number;
    button.append(value);
  }
  button.addEventListener("click", () => {
    const isShown = curves.some((curve) => !state.hidden.has(curve.number));
    for (const curve of curves) {
      if (isShown) state.hidden.add(curve.number);
      else state.hidden.delete(curve.number);
    }
    draw();
  });
  return button;
}

function buildLegend() {
  const items = state.data.experiments.map((experiment, number) => {
    const curves = state.curves.filter((curve) => curve.experiment === number);
    const item = make("li");
    if (curves.length === 1) {
      item.append(makeToggle(curves[0].label, curves, curves));
    } else {
      const rows = make("ul");
      rows.append(...curves.map((curve) => {
        const row = make("li");
        row.append(makeToggle(curve.key, [curve], [curve]));
        return row;
      }));
      item.append(makeToggle(experiment.name, curves, []), rows);
    }
    return item;
  });
  get("legend").replaceChildren(...items);
}

function listEvents() {
  const rows = state.curves.flatMap((curve) => curve.events.map((event) => {
    const row = make("li", event.kind);
    const glyph = make("span", "glyph", GLYPHS[event.kind]);
    glyph.dataset.curve = curve.number;
    row.append(glyph, make("span", "", `${curve.label}: ${tellEvent(event)}`));
    return row;
  }));
  get("events").hidden = !rows.length;
  get("events").querySelector("summary").textContent = tell("events", rows.length);
  get("events").querySelector("ul").replaceChildren(...rows);
}

function listNotes() {
  const visible = state.curves.filter((curve) => !state.hidden.has(curve.number));
  const notes = [];
  const sum = (numbers) => numbers.reduce((total, one) => total + one, 0);
  const thinned = visible.filter((curve) => curve.gaps);
  if (!visible.length) notes.push(tell("none"));
  if (thinned.length) {
    const told = tell("thinned", sum(thinned.map((curve) => curve.steps.length)), sum(thinned.map((curve) => curve.total)));
    notes.push(state.weight ? `${told} ${tell("counted")}` : told);
  }
  const sampled = visible.filter((curve) => curve.sampled).length;
  if (sampled) notes.push(tell("sampled", sampled));
  const odd = visible.filter((curve) => curve.non_finite);
  if (odd.length) notes.push(tell("odd", sum(odd.map((curve) => curve.non_finite)), odd.map((curve) => curve.label).join(", ")));
  const low = state.isLog ? sum(visible.map((curve) => curve.values.filter((value) => value <= 0).length)) : 0;
  if (low) notes.push(tell("not_positive", low));
  const lost = sum(chart.placed.filter(({ curve }) => visible.includes(curve)).map((one) => one.lost));
  if (lost) notes.push(tell("timeless", lost));
  get("notes").replaceChildren(...notes.map((note) => make("li", "", note)));
}

function showValues() {
  const x = state.cursor;
  get("cursor").textContent = x === null ? tell("last") : chart.tellX(x);
  for (const element of get("legend").querySelectorAll(".value")) {
    const curve = state.curves[element.dataset.curve];
    const isHidden = state.hidden.has(curve.number);
    const { points } = chart.placed[curve.number];
    const point = x === null ? points[points.length - 1] : chart.read(curve, x);
    element.textContent = isHidden ? tell("hidden") : point ? showPoint(point, x) : "–";
  }
}

function showPoint(point, x) {
  const value = showValue(point.value);
  const smoothed = state.weight && Number.isFinite(point.value) ? ` (~${showValue(point.smoothed)})` : "";
  return value + smoothed + (state.axis === "step" && point.x === x ? "" : ` @ ${point.step}`);
}

function measureHeight(width) {
  const fixed = state.context.containerDimensions?.height;
  if (!fixed) return Math.round(Math.max(240, Math.min(420, width * 0.55)));
  const others = document.documentElement.getBoundingClientRect().height - get("chart").getBoundingClientRect().height;
  return Math.round(Math.max(200, fixed - others));
}

function draw() {
  if (!state.curves) return;
  const width = Math.floor(get("chart").clientWidth);
  if (!width) return;
  const theme = getTheme();
  state.cursor = null;
  const { curves, hidden, axis, isLog, weight, range } = state;
  const look = { curves, hidden, axis, isLog, weight, range, theme, width, height: measureHeight(width) };
  chart?.plot.destroy();
  chart = drawChart(get("chart"), look, { onRange: setRange, onCursor: setCursor });
  get("chart").setAttribute("aria-label", tell("chart"));
  get("weight").textContent = weight.toFixed(2);
  for (const element of document.querySelectorAll("[data-curve]")) {
    const colour = colourOf(curves[element.dataset.curve], theme);
    if (element.className === "swatch") element.style.borderTopColor = colour;
    if (element.className === "glyph") element.style.color = colour;
  }
  for (const button of get("legend").querySelectorAll("button")) {
    const numbers = button.dataset.curves.split(" ").map(Number);
    button.setAttribute("aria-pressed", String(numbers.some((number) => !hidden.has(number))));
  }
  for (const [id, word] of [["closer", "closer"], ["farther", "farther"]]) get(id).setAttribute("aria-label", tell(word));
  listNotes();
  showValues();
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
  if (x === state.cursor || !chart) return;
  state.cursor = x;
  showValues();
}

// zoom around the cursor, or the middle
function zoom(factor) {
  const { scales } = chart.plot;
  const { min, max } = scales.x;
  const middle = state.cursor ?? (min + max) / 2;
  const [low, high] = chart.ends;
  const from = Math.max(low, middle - (middle - min) * factor), to = Math.min(high, middle + (max - middle) * factor);
  if (from > low || to < high) chart.plot.setScale("x", { min: from, max: to });
  else resetZoom();
}

function resetZoom() {
  state.range = null;
  draw();
}

function moveCursor(event) {
  const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!way || !chart) return;
  event.preventDefault();
  const { plot } = chart;
  const xs = plot.data[0];
  const now = state.cursor === null ? (way > 0 ? -1 : xs.length) : xs.indexOf(state.cursor);
  const next = Math.max(0, Math.min(xs.length - 1, now + way));
  plot.setCursor({ left: plot.valToPos(xs[next], "x"), top: 0 });
}

get("axis").addEventListener("change", ({ target }) => {
  state.axis = target.value;
  resetZoom();
});
get("log").addEventListener("change", ({ target }) => {
  state.isLog = target.checked;
  draw();
});
get("smoothing").addEventListener("input", ({ target }) => {
  state.weight = Number(target.value);
  schedule();
});
get("closer").addEventListener("click", () => zoom(0.5));
get("farther").addEventListener("click", () => zoom(2));
get("whole").addEventListener("click", resetZoom);
get("chart").addEventListener("keydown", moveCursor);

const host = connectHost({
  ping: () => ({}),
  "ui/resource-teardown": () => {
    sizes.disconnect();
    chart?.plot.destroy();
    chart = null;
    state.curves = null;
    return {};
  },
  "ui/notifications/tool-result": receive,
  "ui/notifications/tool-cancelled": () => say("stopped"),
  "ui/notifications/host-context-changed": applyContext,
});

let drawn = 0;
const sizes = new ResizeObserver(() => {
  const { width, height } = document.documentElement.getBoundingClientRect();
  if (get("chart").clientWidth !== drawn) {
    drawn = get("chart").clientWidth;
    schedule();
  }
  host.notify("ui/notifications/size-changed", { width: Math.ceil(width), height: Math.ceil(height) });
});

async function begin() {
  applyContext({});
  say("connecting");
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => applyContext({}));
  try {
    const { hostContext } = await host.request("ui/initialize", {
      protocolVersion: "2026-01-26",
      appInfo: { name: "swanlab-curves", version: "1" },
      appCapabilities: { availableDisplayModes: ["inline", "fullscreen"] },
    });
    applyContext(hostContext ?? {});
  } catch {
    say("unknown");
    return;
  }
  if (!state.curves) say("waiting");
  host.notify("ui/notifications/initialized", {});
  sizes.observe(document.documentElement);
}

begin();

"use strict";

// Okabe and Ito's palette, in the order of the picture, without the colours that the background would hide
const COLOURS = {
  light: ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"],
  dark: ["#56B4E9", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#0072B2", "#F0E442"],
};
const DASHES = [[], [9, 4], [2, 3]];
const BORDERS = ["solid", "dashed", "dotted"];
const GLYPHS = { best: "★", "non-finite": "✕", worsening: "▲" };
const AXES = ["step", "relative_time", "time"];
// larger magnitudes are drawn at this limit, because margins and ticks would overflow
const END = 1e299;
const WORDY = 6; // with more curves, the marks have no text
const NEAR = 6; // pixels

function colourOf(curve, theme) {
  return COLOURS[theme][curve.number % COLOURS[theme].length];
}

function dashOf(curve) {
  return Math.floor(curve.number / COLOURS.light.length) % DASHES.length;
}

function readCurves(data) {
  const keys = new Set(data.curves.map((one) => one.key));
  return data.curves.map((one, number) => {
    const experiment = data.experiments[one.experiment];
    const steps = one.steps;
    const times = one.times ? one.times.map((time) => (time === null ? null : time + one.origin)) : steps.map(() => null);
    const names = [data.experiments.length > 1 ? experiment.name : "", keys.size > 1 || data.experiments.length === 1 ? one.key : ""];
    return {
      ...one,
      number,
      times,
      began: experiment.began,
      values: one.values.map(Number),
      label: names.filter(Boolean).join(" · "),
      events: one.events.map((event) => ({ ...event, value: Number(event.value) })),
    };
  });
}

// return the axes with recorded values
function listAxes(curves) {
  const isTimed = curves.some((curve) => curve.times.some((time) => time !== null));
  const isBegun = curves.every((curve) => curve.began !== null);
  return AXES.filter((axis) => axis === "step" || (isTimed && (axis === "time" || isBegun)));
}

// the exponential moving average of analysis/smoothing.py; a point counts as often as the points it represents
function smooth(values, gaps, weight) {
  let average = 0, total = 0, skipped = 0;
  return values.map((value, place) => {
    skipped += gaps ? gaps[place] : 1;
    if (!Number.isFinite(value)) return value;
    const kept = weight ** Math.max(1, skipped);
    skipped = 0;
    average = kept * average + (1 - kept) * value;
    total = kept * total + (1 - kept);
    return average / total;
  });
}

function locate(curve, axis, step, time) {
  if (axis === "step") return step;
  if (time === null) return null;
  return axis === "time" ? time / 1000 : (time - curve.began) / 1000;
}

// return each curve's points in the order of x, at distinct places, in the unit of the axis
function placeCurves(curves, axis, weight) {
  const placed = curves.map((curve) => {
    const smoothed = weight ? smooth(curve.values, curve.gaps, weight) : null;
    const points = curve.steps
      .map((step, place) => ({
        step,
        x: locate(curve, axis, step, curve.times[place]),
        value: curve.values[place],
        smoothed: smoothed ? smoothed[place] : null,
      }))
      .filter((point) => point.x !== null)
      .sort((one, other) => one.x - other.x || one.step - other.step);
    const events = curve.events.map((event) => ({ ...event, x: locate(curve, axis, event.step, event.time) }));
    return { curve, points, events: events.filter((event) => event.x !== null), lost: curve.steps.length - points.length };
  });
  const longest = Math.max(0, ...placed.flatMap(({ points }) => points.slice(-1).map((point) => Math.abs(point.x))));
  const [unit, seconds] = axis !== "relative_time" ? ["", 1]
    : longest > 3 * 3600 ? ["hours", 3600] : longest > 300 ? ["minutes", 60] : ["seconds", 1];
  for (const { points, events } of placed) {
    for (const point of [...points, ...events]) point.x /= seconds;
    // several steps within one millisecond
    for (let place = 1; place < points.length; place += 1) {
      if (points[place].x <= points[place - 1].x) points[place].x = points[place - 1].x + 1e-6;
    }
  }
  return { placed, unit };
}

// return the place of a value on the y scale; null if it has no place
function raise(value, isLog) {
  if (!Number.isFinite(value) || (isLog && value <= 0)) return null;
  return isLog ? Math.log10(value) : Math.max(-END, Math.min(END, value));
}

function widen(low, high) {
  const margin = high > low
    ? Math.max((high - low) * 0.08, 1e-9 * Math.max(Math.abs(low), Math.abs(high)))
    : Math.max(Math.abs(high) * 0.05, 0.05);
  return [low - margin, high + margin];
}

function showValue(value) {
  return Number.isFinite(value) ? String(Number(value.toPrecision(6))) : String(value);
}

function showTick(value) {
  const text = Math.abs(value) < 1e7 ? String(Number(value.toPrecision(10))) : Number(value.toPrecision(4)).toExponential();
  return text.replace("e+", "e").replaceAll("-", "−");
}

function showMoment(x, seconds) {
  const text = new Date(x * 1000).toISOString();
  const [day, hour] = [text.slice(0, 10), text.slice(11, 23)];
  if (seconds >= 86400) return day;
  return seconds >= 60 ? hour.slice(0, 5) : seconds >= 1 ? hour.slice(0, 8) : hour;
}

function chooseStep(width, isWhole = false) {
  const power = 10 ** Math.floor(Math.log10(width));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= width * 0.999) ?? width;
  return isWhole ? Math.max(1, Math.round(step)) : step;
}

function listTicks(low, high, step) {
  const ticks = [];
  for (let number = Math.ceil(low / step); number * step <= high && ticks.length < 60; number += 1) {
    ticks.push(Number((number * step).toPrecision(14)));
  }
  return ticks;
}

function listLogTicks(low, high, count) {
  const span = high - low;
  if (span < 1) {
    const [from, to] = [10 ** low, 10 ** high];
    return listTicks(from, to, chooseStep((to - from) / count)).filter((value) => value > 0).map(Math.log10);
  }
  if (span > 2) return listTicks(low, high, chooseStep(Math.max(1, span / count), true));
  const powers = listTicks(Math.floor(low), high, 1);
  return powers.flatMap((power) => [1, 2, 5].map((digit) => power + Math.log10(digit))).filter((one) => one >= low && one <= high);
}

const SPANS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200];

function chooseSpan(width) {
  if (width < 1) return Math.max(0.001, chooseStep(width));
  return SPANS.find((span) => span >= width) ?? 86400 * chooseStep(Math.max(1, width / 86400), true);
}

// return the places without a neighbour for a line
function findLonely(ys) {
  const kept = ys.map((y, place) => ({ y, place })).filter(({ y }) => y !== undefined);
  return kept
    .filter(({ y }, at) => y !== null && (kept[at - 1]?.y ?? null) === null && (kept[at + 1]?.y ?? null) === null)
    .map(({ place }) => place);
}

function findNearest(points, x) {
  let low = 0, high = points.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle].x < x) low = middle + 1;
    else high = middle;
  }
  return low > 0 && x - points[low - 1].x <= points[low].x - x ? points[low - 1] : points[low];
}

function make(tag, name = "", text = "") {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.textContent = text;
  return element;
}

function makeDot(colour) {
  const dot = make("div");
  dot.style.background = colour;
  return dot;
}

// Draw `look`: curves, hidden, axis, isLog, weight, theme, width, height, range. The callbacks report user actions.
function drawChart(target, look, { onRange, onCursor }) {
  const { axis, isLog, theme, weight } = look;
  const whole = placeCurves(look.curves, axis, weight);
  const visible = whole.placed.filter(({ curve }) => !look.hidden.has(curve.number));
  const styles = getComputedStyle(document.getElementById("notes"));
  const ink = styles.color;
  const line = getComputedStyle(document.getElementById("axis")).borderTopColor;
  const font = `11px ${getComputedStyle(document.body).fontFamily}`;

  const tables = [];
  const series = [{}];
  const lonely = [], owners = [];
  for (const { curve, points } of visible.filter((one) => one.points.length)) {
    const stroke = colourOf(curve, theme);
    const columns = [points.map((point) => point.x)];
    const add = (column, options) => {
      columns.push(column);
      const number = series.length;
      series.push({ scale: "y", stroke, pxAlign: false, points: { show: false, filter: () => lonely[number], size: 6, fill: stroke }, ...options });
    };
    if (weight) add(points.map((point) => raise(point.value, isLog)), { width: 1, alpha: 0.3 });
    add(points.map((point) => raise(weight ? point.smoothed : point.value, isLog)), { width: 1.8, dash: DASHES[dashOf(curve)] });
    owners[series.length - 1] = curve;
    if (points.some((point) => !Number.isFinite(point.value))) {
      const side = (value) => (Number.isFinite(value) ? undefined : value === Infinity ? 0.985 : 0.015);
      add(points.map((point) => side(point.value)), { scale: "edge", paths: () => null, points: { show: true, size: 5, fill: stroke } });
    }
    tables.push(columns);
  }
  const data = tables.length ? uPlot.join(tables) : [[0, 1]];
  for (let number = 1; number < data.length; number += 1) {
    const places = findLonely(data[number]);
    lonely[number] = places.length ? places : null;
  }
  const heights = series.flatMap((one, number) => (one.scale === "y" ? data[number].filter((y) => y !== null && y !== undefined) : []));
  const [lowest, highest] = heights.reduce(([low, high], y) => [Math.min(low, y), Math.max(high, y)], [Infinity, -Infinity]);
  const [first, last] = [data[0][0], data[0][data[0].length - 1]];
  const ends = last > first ? [first - (last - first) * 0.01, last + (last - first) * 0.01] : widen(first, first);

  // the library supports no increments beyond 1e32; ours are computed with the ticks
  const room = [8, 5];
  const any = (self, number, low, high, length, space) => {
    room[number] = Math.max(2, Math.floor(length / space));
    return [Math.max(5, high - low)];
  };
  const style = { stroke: ink, font, labelFont: font, incrs: any, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 4 } };
  let span = 1;
  const xAxis = {
    ...style,
    label: axis === "relative_time" ? tell(whole.unit) : tell(axis),
    labelSize: 18,
    size: axis === "time" ? 42 : 28,
    space: axis === "time" ? 84 : 70,
    splits(self, number, low, high) {
      span = axis === "time" ? chooseSpan((high - low) / room[0]) : chooseStep((high - low) / room[0], axis === "step");
      return listTicks(low, high, span);
    },
    values(self, splits) {
      let day = "";
      return splits.map((x) => {
        if (axis !== "time") return showTick(x);
        const [moment, date] = [showMoment(x, span), showMoment(x, 86400)];
        const isNew = span < 86400 && date !== day;
        day = date;
        return isNew ? `${moment}\n${date}` : moment;
      });
    },
  };
  const yAxis = {
    ...style,
    scale: "y",
    space: 34,
    splits: (self, number, low, high) => (isLog ? listLogTicks(low, high, room[1]) : listTicks(low, high, chooseStep((high - low) / room[1]))),
    values: (self, splits) => splits.map((y) => (heights.length ? showTick(isLog ? Number((10 ** y).toPrecision(6)) : y) : "")),
    size(self, values) {
      const longest = Math.max(0, ...(values ?? []).map((text) => text.length));
      return 14 + Math.ceil(longest * 6.6);
    },
  };

  function putMarks(plot) {
    for (const old of plot.over.querySelectorAll(".mark")) old.remove();
    const taken = [];
    for (const { curve, points, events } of visible) {
      for (const event of events) putMark(plot, taken, curve, points, event);
    }
  }

  // keep text away from the dots at the edge
  const edge = series.some((one) => one.scale === "edge") ? 12 : 0;

  function putMark(plot, taken, curve, points, event) {
    // an event without a value is drawn at the height of the last value before it
    const before = points.filter((point) => point.x < event.x && raise(point.value, isLog) !== null).pop();
    const height = raise(event.value, isLog) ?? (before ? raise(before.value, isLog) : null) ?? plot.scales.y.min;
    const [left, top] = [plot.valToPos(event.x, "x"), Math.max(0, Math.min(plot.over.clientHeight, plot.valToPos(height, "y")))];
    if (!(left >= -1 && left <= plot.over.clientWidth + 1)) return;
    const mark = make("div", `mark ${event.kind}`);
    mark.style.cssText = `left: ${left}px; top: ${top}px`;
    mark.style.color = colourOf(curve, theme);
    mark.setAttribute("aria-hidden", "true");
    mark.append(make("b", "", GLYPHS[event.kind]));
    plot.over.append(mark);
    if (visible.length > WORDY) return;
    const words = make("span", "", tellEvent(event));
    mark.append(words);
    const { offsetWidth: width, offsetHeight: tall } = words;
    const across = Math.max(-left, Math.min(plot.over.clientWidth - left - width, -width / 2));
    // below, above, or farther away if other texts are in the way
    for (const down of [10, -10 - tall, 24, -24 - tall, 38, -38 - tall]) {
      const box = { left: left + across, top: top + down, right: left + across + width, bottom: top + down + tall };
      const isFree = taken.every((one) => box.right < one.left || box.left > one.right || box.bottom < one.top || box.top > one.bottom);
      if (box.top >= edge && box.bottom <= plot.over.clientHeight - edge && isFree) {
        words.style.cssText = `left: ${across}px; top: ${down}px`;
        taken.push(box);
        return;
      }
    }
    words.remove();
  }

  // return a curve's nearest point at the cursor, or null beyond its ends
  function read(curve, x) {
    const { points } = whole.placed[curve.number];
    if (!points.length) return null;
    const near = (NEAR * (plot.scales.x.max - plot.scales.x.min)) / plot.over.clientWidth;
    if (x < points[0].x - near || x > points[points.length - 1].x + near) return null;
    return findNearest(points, x);
  }

  const plot = new uPlot({
    width: look.width,
    height: look.height,
    legend: { show: false },
    series,
    axes: [xAxis, yAxis],
    scales: {
      x: { time: false, range: (self, low, high) => (first === last || (low === first && high === last) ? ends : [low, high]) },
      y: { range: (self, low, high) => (heights.length ? (low === null ? widen(lowest, highest) : widen(low, high)) : [0, 1]) },
      edge: { range: [0, 1] },
    },
    cursor: {
      y: false,
      drag: { x: true, y: false, dist: 4 },
      points: { size: 7, show: (self, number) => owners[number] && makeDot(colourOf(owners[number], theme)) },
      dataIdx: (self, number, closest) => {
        const point = owners[number] && read(owners[number], data[0][closest]);
        return point ? self.valToIdx(point.x) : null;
      },
    },
    hooks: {
      draw: [putMarks],
      setScale: [(self, key) => {
        if (key === "x") onRange(self.scales.x.min === ends[0] && self.scales.x.max === ends[1] ? null : [self.scales.x.min, self.scales.x.max]);
      }],
      setCursor: [(self) => onCursor(self.cursor.left >= 0 && self.cursor.idx !== null && tables.length ? self.data[0][self.cursor.idx] : null)],
    },
  }, data, target);
  if (look.range) plot.setScale("x", { min: look.range[0], max: look.range[1] });

  return {
    plot,
    ...whole,
    ends,
    tellX: (x) => (axis === "time" ? `${new Date(x * 1000).toISOString().replace("T", " ").slice(0, 19)} UTC`
      : `${axis === "step" ? tell("step") : tell(whole.unit)} ${showTick(Number(x.toPrecision(6)))}`),
    read,
  };
}

function tellEvent(event) {
  return `${tell(event.kind, showValue(event.value))} ${tell("at", event.step)}`;
}

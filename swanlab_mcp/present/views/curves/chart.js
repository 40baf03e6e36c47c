"use strict";

// A panel of curves, drawn with uPlot.

// the palette of the PNG charts; in dark mode, without the colours that would be hard to see
const COLOURS = {
  light: [
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#004269", "#803800", "#00573F",
    "#8A3F68", "#8F6300", "#1F6F9E", "#777777", "#7FB8D8", "#EAAE7F", "#7FCEB9", "#E5BBD2", "#F2CF7F", "#B0B0B0",
  ],
  dark: [
    "#56B4E9", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#0072B2", "#F0E442", "#A6D7F3", "#F2A36B", "#6FD6B6",
    "#E8BDD5", "#F5CC75", "#7A9BD1", "#B0B0B0", "#4F8FA8", "#B5763F", "#4F9C80", "#A0688A", "#A98A3A", "#FFFFFF",
  ],
};
const NEUTRAL = { light: "#777777", dark: "#8b939c" };
// the colour scale of the PNG charts; in dark mode, without the colours that would be hard to see
const SHADES = {
  light: ["#440154", "#46327E", "#365C8D", "#277F8E", "#1FA187", "#4AC16D", "#A0DA39"],
  dark: ["#8577C9", "#5B8CC9", "#3FA3B5", "#35B779", "#6ECE58", "#B5DE2B", "#FDE725"],
};
const STEPS = 24; // colours of points
const DASHES = [[], [9, 4], [2, 3]];
const BORDERS = ["solid", "dashed", "dotted"];
const GLYPHS = { best: "★", "non-finite": "✕", worsening: "◆" };
const NEAR = 6; // pixels
const BELOW = -400; // a power of ten below all values

function colourOf(number, theme) {
  return COLOURS[theme][number % COLOURS[theme].length];
}

function shadeOf(share, theme) {
  const at = share * (SHADES[theme].length - 1);
  const first = Math.min(Math.floor(at), SHADES[theme].length - 2);
  const [from, to] = [first, first + 1].map((index) => SHADES[theme][index].slice(1).match(/../g).map((part) => parseInt(part, 16)));
  return mix([from, to], at - first);
}

function makeDot(colour) {
  const dot = make("div");
  dot.style.background = colour;
  return dot;
}

// return uPlot's columns and series for the placed curves, and the curve of each series
function listSeries(visible, { isLogY, theme, weight }) {
  const tables = [], series = [{}], sources = [null], bands = [], lonely = [], owners = [];
  const raiseAll = (points, name) => points.map((point) => raise(point[name], isLogY));
  for (const { curve, points } of visible.filter((one) => one.points.length)) {
    const stroke = curve.isNeutral ? NEUTRAL[theme] : colourOf(curve.experiment, theme);
    const columns = [points.map((point) => point.x)];
    const add = (column, options) => {
      const number = series.length;
      columns.push(column);
      sources.push(curve);
      series.push({ scale: "y", stroke, pxAlign: false, points: { show: false, filter: () => lonely[number], size: 6, fill: stroke }, ...options });
    };
    if (curve.low) {
      add(raiseAll(points, "high"), { width: 0, stroke: "transparent" });
      // on a logarithmic axis, a lower bound of 0 or less extends to the bottom
      add(points.map((point) => raise(point.low, isLogY) ?? (isLogY ? BELOW : null)), { width: 0, stroke: "transparent", auto: !isLogY });
      bands.push({ series: [series.length - 2, series.length - 1], fill: `${stroke}2e` });
    } else if (weight && !curve.dots) {
      add(raiseAll(points, "value"), { width: 1, alpha: 0.3 });
    }
    const addDots = (column, colour) => {
      add(column, { stroke: colour, paths: () => null, points: { show: true, size: 8, fill: colour, stroke: colour } });
      owners[series.length - 1] = curve;
    };
    const drawn = raiseAll(points, "drawn");
    if (curve.shades) {
      const steps = points.map((point) => Math.round(point.share * STEPS));
      for (const step of new Set(steps)) addDots(drawn.map((y, index) => (steps[index] === step ? y : null)), shadeOf(step / STEPS, theme));
    } else if (curve.dots) {
      addDots(drawn, stroke);
    } else {
      add(drawn, { width: 1.8, dash: DASHES[curve.dash] });
      owners[series.length - 1] = curve;
    }
    if (points.some((point) => !Number.isFinite(point.value))) {
      const side = (value) => (Number.isFinite(value) ? undefined : value === Infinity ? 0.985 : 0.015);
      add(points.map((point) => side(point.value)), { scale: "edge", paths: () => null, points: { show: true, size: 5, fill: stroke } });
    }
    tables.push(columns);
  }
  const data = tables.length ? uPlot.join(tables) : [[0, 1]];
  for (let number = 1; number < data.length; number += 1) {
    const indices = findLonely(data[number]);
    if (indices.length) lonely[number] = indices;
  }
  return { data, series, sources, bands, owners, isEmpty: !tables.length };
}

// return the limits of y, and how many points are outside them
function findLimits({ data, series, sources }, visible, isLogY) {
  const isCut = !isLogY && !visible.some(({ curve }) => curve.dots);
  const worse = { min: 1, max: -1 }[visible.find(({ curve }) => curve.better)?.curve.better] ?? 0;
  const indices = listCalm(visible.map(({ points }) => points.map((point) => raise(point.drawn, false)).filter((y) => y !== null)), worse);
  const calm = isCut ? indices.map((index) => visible[index]) : visible;
  const listHeights = (curves) => series.flatMap((one, number) =>
    (one.scale === "y" && one.auto !== false && curves.includes(sources[number]) ? data[number].filter((y) => y !== null && y !== undefined) : []));
  const heights = listHeights(visible.map(({ curve }) => curve));
  if (!heights.length) return { limits: null, extremes: [], outside: 0 };
  const shown = listHeights(calm.map(({ curve }) => curve));
  const lasts = calm.flatMap(({ points }) => points.filter((point) => Number.isFinite(point.drawn)).slice(-1).map((point) => point.drawn));
  const best = calm.flatMap(({ events }) => events.map((event) => event.value));
  const kept = isCut ? [...lasts, ...best].map((value) => raise(value, false)).filter((value) => value !== null) : shown;
  const [low, high] = chooseLimits(shown, kept);
  const extremes = heights.reduce(([least, most], y) => [Math.min(least, y), Math.max(most, y)], [Infinity, -Infinity]);
  return { limits: [low, high], extremes, outside: heights.filter((y) => y < low || y > high).length };
}

// Draw `look`: placed curves, axis, unit, isLogX, isLogY, theme, weight, width, height, range, ends. The callbacks report user actions.
function drawPanel(target, look, { onRange, onCursor }) {
  const { placed, axis, isLogX, isLogY, theme, ends } = look;
  const visible = placed.filter(({ curve }) => !look.isHidden(curve));
  const { ink, line, family } = look.styles;
  const font = `11px ${family}`;
  const listed = listSeries(visible, look);
  const { data, series, bands, owners, isEmpty } = listed;
  const { limits, extremes, outside } = findLimits(listed, visible, isLogY);
  const [first, last] = [data[0][0], data[0][data[0].length - 1]];

  // uPlot has no increments beyond 1e32, so `splits` below chooses the increment together with the ticks
  const room = [8, 5];
  const any = (self, number, low, high, length, space) => {
    room[number] = Math.max(2, Math.floor(length / space));
    return [Math.max(5, high - low)];
  };
  const style = { stroke: ink, font, labelFont: font, incrs: any, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 4 } };
  const isTime = look.isTime;
  let span = 1;
  const xAxis = {
    ...style,
    label: look.xName,
    labelSize: 18,
    size: isTime ? 42 : 28,
    space: isTime ? 84 : 70,
    splits(self, number, low, high) {
      if (isLogX) return listLogTicks(low, high, room[0]);
      span = isTime ? chooseSpan((high - low) / room[0]) : chooseStep((high - low) / room[0], axis === "step");
      return listTicks(low, high, span);
    },
    values: (self, splits) => (isTime ? showMoments(splits, span) : isLogX ? showLogTicks(splits) : showTicks(splits)),
  };
  const yAxis = {
    ...style,
    scale: "y",
    space: 34,
    splits: (self, number, low, high) => (isLogY ? listLogTicks(low, high, room[1]) : listTicks(low, high, chooseStep((high - low) / room[1]))),
    values: (self, splits) => (!limits ? splits.map(() => "") : isLogY ? showLogTicks(splits) : showTicks(splits)),
    size(self, values) {
      const longest = Math.max(0, ...(values ?? []).map((text) => text.length));
      return 14 + Math.ceil(longest * 6.6);
    },
  };

  // triangles where curves leave the picture
  function putEdges(plot, curve, points) {
    const { min, max } = plot.scales.y;
    let side = 0, before = -Infinity;
    for (const point of points) {
      const y = raise(point.drawn, isLogY);
      const now = y === null ? 0 : y > max ? 1 : y < min ? -1 : 0;
      const left = plot.valToPos(point.x, "x");
      if (now && now !== side && left >= 0 && left <= plot.over.clientWidth && left - before > NEAR) {
        const mark = make("b", "mark outside", now > 0 ? "▲" : "▼");
        mark.style.cssText = `left: ${left}px; top: ${now > 0 ? 5 : plot.over.clientHeight - 5}px; color: ${colourOf(curve.experiment, theme)}`;
        mark.setAttribute("aria-hidden", "true");
        plot.over.append(mark);
        before = left;
      }
      side = now;
    }
  }

  // the values at the marks are in the table and the list of events, because here they would cover curves
  function putMarks(plot) {
    for (const old of plot.over.querySelectorAll(".mark")) old.remove();
    for (const { curve, points, events } of visible) {
      if (!curve.dots) putEdges(plot, curve, points);
      for (const event of events) putMark(plot, curve, points, event);
    }
  }

  function putMark(plot, curve, points, event) {
    // an event without a value is drawn at the height of the last value before it
    const before = points.filter((point) => point.x < event.x && raise(point.value, isLogY) !== null).pop();
    const height = raise(event.value, isLogY) ?? (before ? raise(before.value, isLogY) : null) ?? plot.scales.y.min;
    const [left, top] = [plot.valToPos(event.x, "x"), Math.max(0, Math.min(plot.over.clientHeight, plot.valToPos(height, "y")))];
    if (!(left >= -1 && left <= plot.over.clientWidth + 1)) return;
    const mark = make("b", `mark ${event.kind}`, GLYPHS[event.kind]);
    mark.style.cssText = `left: ${left}px; top: ${top}px; color: ${colourOf(curve.experiment, theme)}`;
    mark.setAttribute("aria-hidden", "true");
    plot.over.append(mark);
  }

  // return a curve's nearest point at the cursor, or null beyond its ends
  function read(curve, x) {
    const { points } = placed.find((one) => one.curve === curve);
    if (!points.length) return null;
    const near = (NEAR * (plot.scales.x.max - plot.scales.x.min)) / plot.over.clientWidth;
    if (x < points[0].x - near || x > points[points.length - 1].x + near) return null;
    const point = findNearest(points, x);
    return curve.dots && Math.abs(point.x - x) > near ? null : point;
  }

  const plot = new uPlot({
    width: look.width,
    height: look.height,
    legend: { show: false },
    series,
    bands,
    axes: [xAxis, yAxis],
    scales: {
      x: { time: false, range: (self, low, high) => (first === last || (low === first && high === last) ? ends : [low, high]) },
      y: { range: (self, low, high) => (!limits ? [0, 1] : low === null || (low === extremes[0] && high === extremes[1]) ? widen(...limits) : widen(low, high)) },
      edge: { range: [0, 1] },
    },
    cursor: {
      y: false,
      sync: { key: "panels", setSeries: false },
      drag: { x: true, y: false, dist: 4 },
      points: { size: 7, show: (self, number) => owners[number] && makeDot(series[number].stroke) },
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
      setCursor: [(self) => onCursor(self.cursor.left >= 0 && self.cursor.idx !== null && !isEmpty ? self.data[0][self.cursor.idx] : null)],
    },
  }, data, target);
  return { plot, placed, outside, read };
}

function tellEvent(event) {
  return `${translate(event.kind, showValue(event.value))} ${translate("at", event.step)}`;
}

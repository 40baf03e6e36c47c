"use strict";

// A sweep in parallel coordinates: an axis for each config key that varies, and one for the metric that ranks the runs.

const SVG = "http://www.w3.org/2000/svg";
const SPREAD = 100; // positive values that differ by this factor get a logarithmic axis
const TOP = 40, BOTTOM = 26, EDGE = 44, LETTER = 6.4;
// best to worst, distinct for all kinds of colour vision
const RAMPS = { light: [[0, 114, 178], [213, 94, 0]], dark: [[86, 180, 233], [240, 140, 60]] };

function shape(tag, attributes, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

function cutText(text, letters) {
  const most = Math.max(4, Math.floor(letters));
  return text.length <= most ? text : `${text.slice(0, Math.ceil(most / 2) - 1)}…${text.slice(text.length - Math.floor(most / 2))}`;
}

// return how an axis maps a value to a position from 0 (bottom) to 1, and its labels
function scale(values) {
  const known = values.filter((value) => value !== null && !Number.isNaN(value));
  if (known.every((value) => typeof value === "number" && Number.isFinite(value)) && known.length) {
    const [low, high] = [Math.min(...known), Math.max(...known)];
    const isLog = low > 0 && high >= SPREAD * low;
    const at = isLog ? Math.log10 : (value) => value;
    const scale = (value) => (high > low ? (at(value) - at(low)) / (at(high) - at(low)) : 0.5);
    return { scale, labels: low === high ? [low] : [low, high], show: showValue };
  }
  const names = [...new Set(known)].sort((one, other) => compare(one, other, 1));
  return { scale: (value) => (names.length > 1 ? names.indexOf(value) / (names.length - 1) : 0.5), labels: names, show: showCell };
}

function mix([one, other], share) {
  return `rgb(${one.map((from, index) => Math.round(from + (other[index] - from) * share)).join(", ")})`;
}

// Return the picture of runs {name, config, values}; `metric` is the index of the metric that ranks them.
function drawSweep({ keys, metrics, rows }, metric, theme, width) {
  const height = 250;
  const columns = [
    ...keys.map((key, index) => ({ key, values: rows.map((run) => run.config[index]) })),
    { key: metrics[metric].key, values: rows.map((run) => run.values[metric]) },
  ].map((column) => ({ ...column, ...scale(column.values) }));
  const gap = (width - 2 * EDGE) / (columns.length - 1);
  const picture = shape("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": translate("parallel", rows.length, columns.map((column) => column.key).join(", ")) });
  const last = columns[columns.length - 1];
  const isLower = metrics[metric].best === "min";
  const rankOf = (run) => (Number.isFinite(run.values[metric]) ? (isLower ? last.scale(run.values[metric]) : 1 - last.scale(run.values[metric])) : 2);
  const y = (share) => height - BOTTOM - share * (height - TOP - BOTTOM);
  const lines = rows.map((run) => {
    let pen = "M";
    const path = columns.map((column, index) => {
      const value = index < keys.length ? run.config[index] : run.values[metric];
      if (value === null || Number.isNaN(value)) {
        pen = "M";
        return "";
      }
      const point = `${pen}${(EDGE + index * gap).toFixed(1)} ${y(column.scale(value)).toFixed(1)}`;
      pen = "L";
      return point;
    }).join("");
    const rank = rankOf(run);
    const line = shape("path", { d: path, class: "run", stroke: rank > 1 ? "currentColor" : mix(RAMPS[theme], rank), "stroke-dasharray": rank > 1 ? "2 3" : "none" });
    line.append(shape("title", {}, `${run.name}: ${showCell(run.values[metric])}`));
    return { line, rank };
  });
  // the best runs lie above the others
  picture.append(...[...lines].sort((one, other) => other.rank - one.rank).map(({ line }) => line));
  for (const [index, column] of columns.entries()) {
    const x = EDGE + index * gap;
    const anchor = index === 0 ? "start" : index === columns.length - 1 ? "end" : "middle";
    const title = shape("text", { x: anchor === "start" ? 2 : anchor === "end" ? width - 2 : x, y: 12, "text-anchor": anchor, class: "key" }, cutText(column.key, (anchor === "middle" ? gap - 8 : (gap + EDGE) / 1.5) / LETTER));
    title.append(shape("title", {}, column.key));
    picture.append(shape("line", { x1: x, x2: x, y1: y(0), y2: y(1), class: "axis" }), title);
    // labels that would overlap are left out
    let free = Infinity;
    for (const value of column.labels) {
      const share = column.scale(value);
      const up = y(share);
      if (up > free - 13) continue;
      free = up;
      // the lines end at the ends of the axis, and pass next to its other labels
      const isEnd = share === 0 || share === 1;
      const isLast = index === columns.length - 1;
      const at = isEnd ? { x: anchor === "start" ? 2 : anchor === "end" ? width - 2 : x, y: share ? up - 6 : up + 15, "text-anchor": anchor }
        : { x: isLast ? x - 5 : x + 5, y: up + 4, "text-anchor": isLast ? "end" : "start" };
      picture.append(shape("text", { ...at, class: "label" }, cutText(column.show(value), (isEnd && anchor === "middle" ? gap - 8 : gap - 12) / LETTER)));
    }
  }
  return { picture, lines: lines.map(({ line }) => line) };
}

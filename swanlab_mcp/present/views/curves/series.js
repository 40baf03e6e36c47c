"use strict";

// Curves of the server's data, their positions on the axes, and their smoothing. This file does not access the page.

const AXES = ["step", "relative_time", "time"];
// larger magnitudes are drawn at this limit, because margins and ticks would overflow
const END = 1e299;
const ROUNDING = 2 ** -23; // smaller relative differences are ignored, because float32 cannot represent them
// the same rule as in analysis/bands.py: extreme points that would flatten the other points are outside the limits
const CUT = 0.02, WORTH = 2, UNLIKE = 100, BEFORE = 0.1;

function readCurves(data) {
  return data.curves.map((one, number) => {
    const { name, began } = data.experiments[one.experiment];
    return {
      ...one,
      number,
      began,
      isNeutral: Boolean(data.colours) && !one.shades,
      times: one.steps.map((_, index) => (one.times?.[index] == null ? null : one.times[index] + one.origin)),
      values: one.values.map(Number),
      label: [data.experiments.length > 1 ? name : "", data.keys.length > 1 || data.experiments.length === 1 ? one.key : ""].filter(Boolean).join(" · "),
      events: one.events.map((event) => ({ ...event, value: Number(event.value) })),
    };
  });
}

// return the axes with recorded values; `given` is an axis that only the server can compute
function listAxes(curves, isGrouped) {
  const isGiven = curves.some((curve) => curve.xs);
  const isTimed = curves.some((curve) => curve.times.some((time) => time !== null));
  const isBegun = curves.every((curve) => curve.began !== null);
  const others = isGiven && isGrouped ? [] : AXES.filter((axis) => axis === "step" || (isTimed && (axis === "time" || isBegun)));
  return isGiven ? ["given", ...others] : others;
}

// the exponential moving average of analysis/smoothing.py; a point counts as often as the points it represents
function smooth(values, gaps, weight) {
  let average = 0, total = 0, skipped = 0;
  return values.map((value, index) => {
    skipped += gaps ? gaps[index] : 1;
    if (!Number.isFinite(value)) return value;
    const kept = weight ** Math.max(1, skipped);
    skipped = 0;
    average = kept * average + (1 - kept) * value;
    total = kept * total + (1 - kept);
    return average / total;
  });
}

function locate(curve, axis, index, time) {
  if (axis === "given") return curve.xs?.[index] ?? null;
  if (axis === "step") return curve.steps[index];
  if (time === null) return null;
  return axis === "time" ? time / 1000 : (time - curve.began) / 1000;
}

// return the position of a number on the colour scale, from 0 to 1
function shareOf(value, { low, high, is_log: isLog }) {
  const at = isLog ? Math.log10 : (one) => one / 2;
  return high > low ? (at(value) - at(low)) / (at(high) - at(low)) : 0.5;
}

function findSmoothedBest(curve, drawn) {
  const sign = curve.better === "min" ? 1 : -1;
  const index = drawn.reduce((best, value, at) => (Number.isFinite(value) && !(sign * value >= sign * drawn[best]) ? at : best), -1);
  return { kind: "best", step: curve.steps[index], time: curve.times[index], value: drawn[index] };
}

// return each curve's points in the order of x, with distinct x values, in the unit of the axis
function placeCurves(curves, axis, weight, isLog, colours) {
  const raiseX = (x) => (x === null || !isLog ? x : x > 0 ? Math.log10(x) : null);
  const placed = curves.map((curve) => {
    const lean = (values) => (values && weight && !curve.dots ? smooth(values, curve.gaps, weight) : values);
    const [drawn, lows, highs] = [curve.values, curve.low, curve.high].map(lean);
    const points = curve.steps
      .map((step, index) => ({
        step,
        x: raiseX(locate(curve, axis, index, curve.times[index])),
        value: curve.values[index],
        drawn: drawn[index],
        low: lows?.[index],
        high: highs?.[index],
        name: curve.names?.[index],
        share: curve.shades ? shareOf(curve.shades[index], colours) : null,
      }))
      .filter((point) => point.x !== null)
      .sort((one, other) => one.x - other.x || one.step - other.step);
    const events = curve.events
      .map((event) => (event.kind === "best" && weight ? findSmoothedBest(curve, drawn) : event))
      .map((event) => ({ ...event, x: raiseX(locate(curve, axis, curve.steps.indexOf(event.step), event.time)) }))
      .filter((event) => event.x !== null);
    return { curve, points, events, lost: curve.steps.length - points.length };
  });
  const longest = Math.max(0, ...placed.flatMap(({ points }) => points.slice(-1).map((point) => Math.abs(point.x))));
  const [unit, seconds] = axis !== "relative_time" ? ["", 1]
    : longest > 3 * 3600 ? ["hours", 3600] : longest > 300 ? ["minutes", 60] : ["seconds", 1];
  for (const { points, events } of placed) {
    for (const point of [...points, ...events]) point.x /= seconds;
    // several steps within one millisecond, or several runs with one setting
    for (let index = 1; index < points.length; index += 1) {
      const before = points[index - 1].x;
      if (points[index].x <= before) points[index].x = before + Math.max(1e-6, Math.abs(before) * 1e-12);
    }
  }
  return { placed, unit };
}

function findEnds(placed) {
  const ends = placed.flatMap(({ points }) => (points.length ? [points[0].x, points[points.length - 1].x] : []));
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  return !ends.length ? [0, 1] : high > low ? [low - (high - low) * 0.01, high + (high - low) * 0.01] : widen(low, high);
}

// return the position of a value on the y scale, or null if it has none
function raise(value, isLog) {
  if (!Number.isFinite(value) || (isLog && value <= 0)) return null;
  return isLog ? Math.log10(value) : Math.max(-END, Math.min(END, value));
}

function chooseLimits(values, kept) {
  const ordered = Float64Array.from(values).sort();
  const [first, last] = [ordered[0], ordered[ordered.length - 1]];
  const cut = Math.ceil(ordered.length * CUT);
  const inner = ordered.length > 2 * cut ? ordered.subarray(cut, ordered.length - cut) : ordered;
  const [low, high] = [Math.min(inner[0], ...kept), Math.max(inner[inner.length - 1], ...kept)];
  if (last - first < WORTH * (high - low) || low === high) return [first, last];
  const reach = (high - low) / 10;
  return [ordered.find((value) => value >= low - reach), ordered.findLast((value) => value <= high + reach)];
}

// the same rule as in analysis/bands.py: exploding curves are outside the limits; return the other curves
function listCalm(curves, worse) {
  const limits = curves.map((curve) => (curve.length ? chooseLimits(curve, curve.slice(-1)) : [0, 0]));
  const pick = (sizes, most) => curves.flatMap((curve, at) => (curve.length && most && sizes[at] <= most ? [at] : []));
  const heights = limits.map(([low, high]) => high / 2 - low / 2);
  const usual = heights.filter((_, at) => curves[at].length).sort((one, other) => one - other);
  const inside = keepOutside(curves, limits, pick(heights, usual.length ? UNLIKE * usual[(usual.length - 1) >> 1] : 0), 0.5);
  const sizes = limits.map(([low, high]) => Math.max(Math.abs(low), Math.abs(high)));
  const small = worse ? pick(sizes, UNLIKE * Math.min(...sizes.filter((size) => size))) : [];
  const others = keepOutside(curves, limits, small, BEFORE);
  return inside.filter((at) => small.includes(at) || others.includes(at) || !(worse * (limits[at][0] / 2 + limits[at][1] / 2) > 0));
}

function keepOutside(curves, limits, calm, share) {
  const [low, high] = [Math.min(...calm.map((at) => limits[at][0])), Math.max(...calm.map((at) => limits[at][1]))];
  return curves.flatMap((curve, at) =>
    !calm.length || calm.includes(at) || curve.filter((y) => low <= y && y <= high).length < share * curve.length ? [at] : []);
}

function widen(low, high) {
  const isFlat = high - low <= ROUNDING * Math.max(Math.abs(low), Math.abs(high));
  const margin = isFlat ? Math.abs(high) * 0.05 || 0.05 : (high - low) * 0.08;
  return [low - margin, high + margin];
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

// return the indices of points without a neighbour to draw a line to
function findLonely(ys) {
  const kept = ys.map((y, index) => ({ y, index })).filter(({ y }) => y !== undefined);
  return kept
    .filter(({ y }, at) => y !== null && (kept[at - 1]?.y ?? null) === null && (kept[at + 1]?.y ?? null) === null)
    .map(({ index }) => index);
}

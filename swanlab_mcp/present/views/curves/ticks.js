"use strict";

// Positions and labels of ticks.

const SPANS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200];

function showValue(value) {
  return Number.isFinite(value) ? String(Number(value.toPrecision(6))) : String(value);
}

// return the labels of ticks in a single format: all plain numbers, or all with powers of ten
function showTicks(values, isLog) {
  const sizes = values.map(Math.abs).filter((size) => size);
  const isLong = sizes.length && (Math.max(...sizes) >= 1e7 || (isLog ? Math.min(...sizes) : Math.max(...sizes)) < 1e-4);
  return values.map((value) => {
    const short = Number(value.toPrecision(10));
    const text = isLong && short !== (isLog ? 1 : 0) ? short.toExponential() : String(short);
    return text.replace("e+", "e").replaceAll("-", "−");
  });
}

function showMoment(x, seconds) {
  const text = new Date(x * 1000).toISOString();
  const [day, hour] = [text.slice(0, 10), text.slice(11, 23)];
  if (seconds >= 86400) return day;
  return seconds >= 60 ? hour.slice(0, 5) : seconds >= 1 ? hour.slice(0, 8) : hour;
}

// return the labels of times; the first label of each day has the date below it
function showMoments(splits, span) {
  let day = "";
  return splits.map((x) => {
    const [moment, date] = [showMoment(x, span), showMoment(x, 86400)];
    const isNew = span < 86400 && date !== day;
    day = date;
    return isNew ? `${moment}\n${date}` : moment;
  });
}

function chooseStep(width, isWhole = false) {
  const power = 10 ** Math.floor(Math.log10(width));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= width * 0.999) ?? width;
  return isWhole ? Math.max(1, Math.round(step)) : step;
}

function chooseSpan(width) {
  if (width < 1) return Math.max(0.001, chooseStep(width));
  return SPANS.find((span) => span >= width) ?? 86400 * chooseStep(Math.max(1, width / 86400), true);
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

function showLogTicks(powers) {
  return showTicks(powers.map((power) => Number((10 ** power).toPrecision(6))), true);
}

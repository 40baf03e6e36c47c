"use strict";

const WORDS = {
  en: {
    axis: "x axis", colour: (name) => `colour: ${name}`, step: "step", relative_time: "time since the start", time: "time (UTC)",
    log_x: "log x", log: "log y", zoom: "Zoom", smoothing: "smoothing", whole: "Reset zoom", closer: "Zoom in", farther: "Zoom out",
    reply: "Figures and notes, as the assistant got them", events: (count) => `Marked events (${count})`,
    chart: "curves. Drag to zoom, double-click to reset; the arrow keys move the cursor.",
    name: "Name", run: "Run", value: "Value", best_value: "Best", best_of: (key) => `${key}, best`, last_of: (key) => `${key}, last`,
    lines: "Curves, with their values at the cursor", runs: "Runs, with their settings and results",
    sweep: "Settings and results", ranked: "ranked by",
    parallel: (count, names) => `Parallel coordinates of ${count} runs: ${names}. The table has the same values.`,
    sd: "Bands are one standard deviation around the mean of each group.", minmax: "Bands are the smallest and largest value of each group.",
    outside: (count) => `${count} extreme points lie outside the picture (▲▼); zoom in on their place to see them.`,
    starred: "Stars mark the best smoothed value.",
    without_x: (count) => `${count} points have no value on this axis.`,
    connecting: "Connecting to the assistant …", waiting: "Waiting for the curves …", stopped: "The call was stopped.",
    unknown: "The assistant did not accept this view; its answer has the picture.",
    missing: "The data of the interactive chart did not arrive. This is what was answered:",
    failed: "Nothing was drawn. This is what was answered:",
    last: "last values", hidden: "hidden",
    hours: "hours since the start", minutes: "minutes since the start", seconds: "seconds since the start",
    at: (step) => `@ step ${step}`,
    best: (value) => `best ${value}`, "non-finite": (value) => `first ${value}`, worsening: () => "worse since here",
    marks: { best: "best", "non-finite": "first NaN or infinite value", worsening: "worse from here and never recovers" },
    thinned: (drawn, total) => `${drawn} of ${total} points are drawn; the extremes are kept.`,
    counted: "Smoothing is approximate where points are left out.",
    sampled: (count) => `${count} curves are samples: SwanLab did not send all points.`,
    not_positive: (count) => `${count} values at or below 0 are not on the logarithmic axis.`,
    without_time: (count) => `${count} points without a recorded time are not drawn.`,
    odd: (count, names) => `${count} values are NaN or infinite (dots at the edge): ${names}`,
    none: "Everything is hidden; choose a name in the table.",
  },
  zh: {
    axis: "横轴", colour: (name) => `颜色：${name}`, step: "步", relative_time: "距开始的时间", time: "时间（UTC）",
    log_x: "对数横轴", log: "对数纵轴", zoom: "缩放", smoothing: "平滑", whole: "重置缩放", closer: "放大", farther: "缩小",
    reply: "助手收到的数值与说明", events: (count) => `标记的事件（${count}）`,
    chart: "曲线图。拖动可缩放，双击重置；用键盘方向键移动光标。",
    name: "名称", run: "实验", value: "值", best_value: "最佳", best_of: (key) => `${key}（最佳）`, last_of: (key) => `${key}（最后）`,
    lines: "曲线及其在光标处的值", runs: "实验及其配置和结果",
    sweep: "配置与结果", ranked: "排序依据",
    parallel: (count, names) => `${count} 个实验的平行坐标图：${names}。表格列出同样的值。`,
    sd: "色带是每组均值上下各一个标准差。", minmax: "色带是每组的最小值到最大值。",
    outside: (count) => `${count} 个极端的点在图外（▲▼）；放大它们所在的位置即可看到。`,
    starred: "星号标出平滑后的最佳值。",
    without_x: (count) => `${count} 个点在这个轴上没有位置。`,
    connecting: "正在连接助手……", waiting: "正在等待曲线……", stopped: "调用已停止。",
    unknown: "助手没有接受这个视图；图片在它的回答里。",
    missing: "没有收到交互图的数据。收到的回答如下：",
    failed: "没有画出曲线。收到的回答如下：",
    last: "最后的值", hidden: "已隐藏",
    hours: "距开始的小时数", minutes: "距开始的分钟数", seconds: "距开始的秒数",
    at: (step) => `@ 第 ${step} 步`,
    best: (value) => `最佳 ${value}`, "non-finite": (value) => `首个 ${value}`, worsening: () => "由此变差",
    marks: { best: "最佳", "non-finite": "首个 NaN 或无穷大", worsening: "由此变差，未再恢复" },
    thinned: (drawn, total) => `画出 ${total} 个点中的 ${drawn} 个，保留了极值。`,
    counted: "略去了点的地方，平滑是近似的。",
    sampled: (count) => `${count} 条曲线只是抽样：SwanLab 没有发来全部的点。`,
    not_positive: (count) => `${count} 个不大于 0 的值无法画在对数轴上。`,
    without_time: (count) => `${count} 个点没有记录时间，未画出。`,
    odd: (count, names) => `${count} 个值是 NaN 或无穷大（边缘的圆点）：${names}`,
    none: "全部已隐藏；请在表格中选择名称。",
  },
};

let language = "en";

function translate(name, ...given) {
  const word = WORDS[language][name];
  return typeof word === "function" ? word(...given) : word;
}

function setLanguage(locale) {
  language = /^zh\b/i.test(locale || "") ? "zh" : "en";
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = translate(element.dataset.word);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", translate(element.dataset.label));
}

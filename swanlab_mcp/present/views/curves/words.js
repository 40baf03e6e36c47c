"use strict";

const WORDS = {
  en: {
    axis: "x axis", step: "step", relative_time: "time since the start", time: "time (UTC)",
    log: "log y", smoothing: "smoothing", whole: "Reset zoom", closer: "Zoom in", farther: "Zoom out",
    told: "Figures and notes, as the assistant got them", events: (count) => `Marked events (${count})`,
    chart: "Curves. Drag to zoom, double-click to reset; with the keyboard, the arrows move the cursor.",
    connecting: "Connecting to the assistant …", waiting: "Waiting for the curves …", stopped: "The call was stopped.",
    unknown: "The assistant did not accept this view; its answer has the picture.",
    missing: "The data of the interactive chart did not arrive. This is what was answered:",
    failed: "Nothing was drawn. This is what was answered:",
    several: "Curves", last: "last values", hidden: "hidden",
    hours: "hours since the start", minutes: "minutes since the start", seconds: "seconds since the start",
    at: (step) => `@ step ${step}`,
    best: (value) => `best ${value}`, "non-finite": (value) => `first ${value}`, worsening: () => "worse since here",
    thinned: (drawn, total) => `${drawn} of ${total} points are drawn; the extremes are kept.`,
    counted: "Smoothing is approximate where points are left out.",
    sampled: (count) => `${count} curves are samples: SwanLab did not send all points.`,
    not_positive: (count) => `${count} values at or below 0 cannot stand on the logarithmic axis.`,
    timeless: (count) => `${count} points without a recorded time are not drawn.`,
    odd: (count, names) => `${count} values are NaN or infinite (dots at the edge): ${names}`,
    none: "Everything is hidden; choose an experiment below.",
  },
  zh: {
    axis: "横轴", step: "步", relative_time: "距开始的时间", time: "时间（UTC）",
    log: "对数纵轴", smoothing: "平滑", whole: "重置缩放", closer: "放大", farther: "缩小",
    told: "助手收到的数值与说明", events: (count) => `标记的事件（${count}）`,
    chart: "曲线图。拖动可缩放，双击重置；用键盘方向键移动光标。",
    connecting: "正在连接助手……", waiting: "正在等待曲线……", stopped: "调用已停止。",
    unknown: "助手没有接受这个视图；图片在它的回答里。",
    missing: "没有收到交互图的数据。收到的回答如下：",
    failed: "没有画出曲线。收到的回答如下：",
    several: "曲线", last: "最后的值", hidden: "已隐藏",
    hours: "距开始的小时数", minutes: "距开始的分钟数", seconds: "距开始的秒数",
    at: (step) => `@ 第 ${step} 步`,
    best: (value) => `最佳 ${value}`, "non-finite": (value) => `首个 ${value}`, worsening: () => "由此变差",
    thinned: (drawn, total) => `画出 ${total} 个点中的 ${drawn} 个，保留了极值。`,
    counted: "略去了点的地方，平滑是近似的。",
    sampled: (count) => `${count} 条曲线只是抽样：SwanLab 没有发来全部的点。`,
    not_positive: (count) => `${count} 个不大于 0 的值无法画在对数轴上。`,
    timeless: (count) => `${count} 个点没有记录时间，未画出。`,
    odd: (count, names) => `${count} 个值是 NaN 或无穷大（边缘的圆点）：${names}`,
    none: "全部已隐藏；请在下方选择实验。",
  },
};

let language = "en";

function tell(name, ...given) {
  const word = WORDS[language][name];
  return typeof word === "function" ? word(...given) : word;
}

function setLanguage(locale) {
  language = /^zh\b/i.test(locale || "") ? "zh" : "en";
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = tell(element.dataset.word);
}

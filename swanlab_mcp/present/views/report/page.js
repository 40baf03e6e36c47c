"use strict";

// Offer the report that a ranking links to. The server makes it when the user asks, and nothing is stored.
const SCHEME = "swanlab-report://";
const WORDS = {
  en: { show: (name) => `Show: ${name}`, making: "Making the report …", failed: "The report did not arrive." },
  zh: { show: (name) => `显示：${name}`, making: "正在生成报告……", failed: "没有收到报告。" },
};
// elements that a report never has
const FOREIGN = "script, iframe, object, embed, link, meta, base, form";
const get = (id) => document.getElementById(id);
const context = {};
const [button, status] = [get("show"), get("status")];
let report = null; // the link to the report
let styles = null; // the report's styles, once it is shown

function translate(name, ...given) {
  const word = WORDS[/^zh\b/i.test(context.locale || navigator.language) ? "zh" : "en"][name];
  return typeof word === "function" ? word(...given) : word;
}

// the report follows the system's theme, but the host may have another theme
function applyTheme() {
  const theme = context.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.documentElement.dataset.theme = theme;
  if (styles) get("styles").textContent = styles.replaceAll("(prefers-color-scheme:dark)", theme === "dark" ? "(min-width:0)" : "(max-width:0)");
}

function applyContext(changes) {
  Object.assign(context, changes);
  applyTheme();
  if (report) button.textContent = translate("show", report.name);
}

function receive(result) {
  report = (result.content ?? []).find((block) => block.type === "resource_link" && String(block.uri).startsWith(SCHEME)) ?? null;
  button.hidden = !report;
  applyContext({});
}

async function show() {
  status.textContent = translate("making");
  button.disabled = true;
  try {
    const { contents } = await host.request("resources/read", { uri: report.uri });
    place(new DOMParser().parseFromString(contents[0].text, "text/html"));
    const modes = context.availableDisplayModes ?? [];
    if (modes.includes("fullscreen")) host.request("ui/request-display-mode", { mode: "fullscreen" }).catch(() => {});
  } catch {
    status.textContent = translate("failed");
    button.disabled = false;
  }
}

function place(page) {
  styles = page.querySelector("style").textContent;
  for (const element of page.querySelectorAll(FOREIGN)) element.remove();
  for (const element of page.querySelectorAll("*")) {
    for (const { name } of [...element.attributes]) if (/^on/i.test(name)) element.removeAttribute(name);
  }
  const own = document.querySelector("style");
  own.id = "styles";
  applyTheme();
  document.documentElement.lang = page.documentElement.lang;
  document.title = page.title;
  document.body.replaceChildren(...page.body.children);
}

// links within the page scroll; the host opens all other links
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link) return;
  event.preventDefault();
  const address = link.getAttribute("href");
  if (address.startsWith("#")) get(address.slice(1))?.scrollIntoView();
  else host.request("ui/open-link", { url: address }).catch(() => {});
});
button.addEventListener("click", show);

const host = connectHost({
  ping: () => ({}),
  "ui/resource-teardown": () => {
    sizes.disconnect();
    return {};
  },
  "ui/notifications/tool-result": receive,
  "ui/notifications/host-context-changed": applyContext,
});

const sizes = new ResizeObserver(() => {
  const { width, height } = document.documentElement.getBoundingClientRect();
  host.notify("ui/notifications/size-changed", { width: Math.ceil(width), height: Math.ceil(height) });
});

async function begin() {
  applyContext({});
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", applyTheme);
  try {
    const { hostContext } = await host.request("ui/initialize", {
      protocolVersion: "2026-01-26",
      appInfo: { name: "swanlab-report", version: "1" },
      appCapabilities: { availableDisplayModes: ["inline", "fullscreen"] },
    });
    applyContext(hostContext ?? {});
  } catch {
    return;
  }
  host.notify("ui/notifications/initialized", {});
  sizes.observe(document.documentElement);
}

begin();

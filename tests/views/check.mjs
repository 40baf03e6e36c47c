// Test the interactive chart in a real browser, in a host that implements the protocol, with replies from the real server.
//   node check.mjs CHROMIUM BUNDLE [FOLDER FOR SCREENSHOTS]; PYTHON is an interpreter that can import the server
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { checkAccessibility, openBrowser } from "./browser.mjs";

const [executablePath, bundle, pictures] = process.argv.slice(2);
const UI = "io.modelcontextprotocol/ui";
const MIME = "text/html;profile=mcp-app";
const DATA = "swanlab-mcp-server/curves";
const LOSSES = { project: "digits-mlp", exp_cuids: ["lr-0.1", "lr-1", "lr-100-wd-0.1"], keys: ["val/loss"] };

const SEEDS = ["lr-0.1", "width-128-64"].flatMap((name) => ["", "-seed1", "-seed2"].map((seed) => name + seed));
const SWEEP = ["lr-0.001", "lr-0.01", "lr-0.1", "lr-0.3", "lr-1", "batch-8", "wd-0.01"];

const client = new Client({ name: "check", version: "1" }, { capabilities: { extensions: { [UI]: { mimeTypes: [MIME] } } } });
await client.connect(new StdioClientTransport({ command: process.env.PYTHON ?? "python", args: ["-m", "swanlab_mcp", "--demo"] }));
const tool = (await client.listTools()).tools.find((one) => one.name === "plot_metrics");
const { contents } = await client.readResource({ uri: tool._meta.ui.resourceUri });
const html = contents[0].text;
const ask = (given) => client.callTool({ name: "plot_metrics", arguments: given });
const losses = await ask(LOSSES);
const several = await ask({ project: "digits-mlp", exp_cuids: ["lr-0.1", "lr-1"], keys: ["train/loss", "val/loss"], smoothing: 0.5 });
const units = await ask({ project: "digits-mlp", exp_cuids: ["lr-0.01", "lr-0.1", "lr-1", "cosine-128-64-ckpt"], keys: ["val/loss", "val/acc"] });
const groups = await ask({ project: "digits-mlp", exp_cuids: SEEDS, keys: ["val/loss"], group_by: "seed" });
const scatter = await ask({ project: "digits-mlp", exp_cuids: SWEEP, keys: ["val/loss"], x_axis: "config.lr", log_x: true });
const shaded = await ask({ project: "digits-mlp", exp_cuids: SWEEP, keys: ["val/loss"], x_axis: "config.lr", log_x: true, group_by: "metric.val/acc" });
const smooth = await ask({ ...LOSSES, smoothing: 0.8 });
const offer = await client.readResource({ uri: (await client.listTools()).tools.find((one) => one.name === "rank_experiments")._meta.ui.resourceUri });
const ranked = await client.callTool({ name: "rank_experiments", arguments: { project: "digits-mlp", metric: "val/acc" } });
const report = await client.readResource({ uri: ranked.content.find((block) => block.type === "resource_link").uri });
await client.close();

const browser = await openBrowser(executablePath);
const page = await browser.newPage({ viewport: { width: 820, height: 800 } });
const complaints = [];
page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
page.on("pageerror", (error) => complaints.push(String(error)));
page.on("request", (request) => /^(about|data|blob):/.test(request.url()) || complaints.push(`request: ${request.url()}`));
await page.addScriptTag({ content: readFileSync(bundle, "utf-8") });

let frame, requested = [];
await page.exposeFunction("readResource", (uri) => {
  requested.push(uri);
  return report;
});

async function mount(context = {}, width = 820, content = html) {
  await page.setViewportSize({ width, height: 800 });
  const about = await page.evaluate(([text, given]) => window.mount(text, given), [content, context]);
  // the page's list of frames may still contain the previous frame
  frame = await (await page.$("iframe")).contentFrame();
  return about;
}

async function show(result, context = { theme: "light", locale: "en-US" }, width = 820) {
  const about = await mount(context, width);
  await page.evaluate((given) => window.bridge.sendToolResult(given), result);
  await frame.waitForFunction(() => document.getElementById("view").hidden ? !document.getElementById("answer").hidden : document.querySelector("#panels canvas"));
  await settle();
  return about;
}

// uPlot draws in a microtask, and resized charts are drawn in the next frames
const settle = () => frame.evaluate(async () => {
  for (let count = 0; count < 4; count += 1) await new Promise(requestAnimationFrame);
});
const texts = (selector) => frame.$$eval(selector, (found) => found.map((one) => one.textContent));
const text = (selector) => frame.$eval(selector, (one) => one.textContent);
const range = () => frame.evaluate(() => [panels[0].plot.scales.x.min, panels[0].plot.scales.x.max]);
// the cells of the column with this name in the table of curves
const column = (name) => frame.$$eval("#lines tr", ([head, ...rows], wanted) => {
  const place = [...head.children].findIndex((one) => one.textContent === wanted);
  return rows.map((row) => row.children[place].textContent);
}, name);
const isPressed = (selector) => frame.$$eval(selector, (found) => found.map((one) => one.getAttribute("aria-pressed") === "true"));
const isVisible = (selector) => frame.$eval(selector, (one) => !one.closest("[hidden]"));

async function take(name, width = page.viewportSize().width) {
  if (!pictures) return;
  const before = page.viewportSize().width;
  await page.setViewportSize({ width, height: 800 });
  await settle();
  const height = await frame.evaluate(() => Math.ceil(document.documentElement.getBoundingClientRect().height));
  await page.setViewportSize({ width, height });
  await settle();
  await page.screenshot({ path: `${pictures}/${name}.png` });
  await page.setViewportSize({ width: before, height: 800 });
  await settle();
}

function craft(curves, more = {}) {
  const experiments = curves.map((curve, number) => ({ name: curve.name ?? `run ${number}`, began: 1_700_000_000_000 }));
  const described = curves.map((curve, number) => ({
    experiment: number, key: curve.key ?? "loss", non_finite: 0, total: curve.values.length, sampled: false,
    steps: curve.values.map((_, place) => place), events: [], panel: 0, dash: 0, best: null, ...curve,
  }));
  return {
    content: [{ type: "text", text: "figures" }],
    _meta: { [DATA]: { x_axis: "step", smoothing: 0, log_x: false, log_y: false, is_grouped: false, runs: null, experiments, curves: described, ...more } },
  };
}

const checks = {
  async "the handshake is done and the size is reported"() {
    const about = await show(losses);
    assert.equal(about.app.name, "swanlab-curves");
    assert.deepEqual(about.capabilities, { availableDisplayModes: ["inline", "fullscreen"] });
    await page.waitForFunction(() => window.sizes.at(-1)?.height > 300);
    const sizes = await page.evaluate(() => window.sizes);
    assert.ok(sizes.at(-1).height > 300 && sizes.at(-1).height < 900, JSON.stringify(sizes));
    await take("light");
  },

  async "the table has each experiment with its settings, last and best value"() {
    assert.equal(await text("#title"), "val/loss");
    assert.deepEqual(await column("Name"), ["lr-0.1", "lr-1", "lr-100-wd-0.1"]);
    assert.deepEqual(await column("lr"), ["0.1", "1", "100"]);
    assert.match((await column("Value"))[2], /^NaN @ 40$/);
    assert.deepEqual(await column("Best"), losses._meta[DATA].curves.map(({ best }) => `${Number(best.value.toPrecision(6))} @ ${best.step}`));
    assert.match(await text("#notes"), /32 values are NaN or infinite .*lr-100-wd-0\.1/);
    assert.deepEqual(await texts("#events li span:last-child"), losses._meta[DATA].curves.flatMap((curve, number) => curve.events.map((event) => {
      const name = ["lr-0.1", "lr-1", "lr-100-wd-0.1"][number];
      const what = { best: `best ${Number(Number(event.value).toPrecision(6))}`, "non-finite": `first ${event.value}`, worsening: "worse since here" };
      return `${name}: ${what[event.kind]} @ step ${event.step}`;
    })));
  },

  async "a click hides an experiment, and its curve and marks go"() {
    const before = await frame.evaluate(() => panels[0].plot.series.length);
    const marks = (await frame.$$("#panels .mark")).length;
    await frame.click("#lines .toggle >> nth=2");
    await settle();
    assert.ok(await frame.evaluate(() => panels[0].plot.series.length) < before);
    assert.ok((await frame.$$("#panels .mark")).length < marks);
    assert.equal(await frame.getAttribute("#lines .toggle >> nth=2", "aria-pressed"), "false");
    assert.equal((await column("Value"))[2], "hidden");
    assert.ok(await frame.evaluate(() => panels[0].plot.scales.y.max < 10));
    await take("hidden");
    for (const place of [0, 1]) await frame.click(`#lines .toggle >> nth=${place}`);
    await settle();
    assert.match(await text("#notes"), /Everything is hidden/);
    await frame.focus("#lines .toggle >> nth=0");
    await page.keyboard.press("Enter");
    await settle();
    assert.equal(await frame.getAttribute("#lines .toggle >> nth=0", "aria-pressed"), "true");
  },

  async "hovering shows the values of the data"() {
    await show(losses);
    const box = await (await frame.$(".u-over")).boundingBox();
    await page.mouse.move(box.x + box.width * 0.1, box.y + box.height / 2);
    await settle();
    const step = Number((await text("#cursor")).replace("step ", ""));
    const curves = losses._meta[DATA].curves;
    const expected = curves.map((curve) => curve.values[curve.steps.indexOf(step)]).map((value) => String(Number(Number(value).toPrecision(6))));
    assert.deepEqual(await column("Value"), expected);
    await take("hover");
    await frame.focus(".plot");
    await page.keyboard.press("ArrowRight");
    await settle();
    assert.equal(await text("#cursor"), `step ${step + 1}`);
    assert.match(await text("#spoken"), new RegExp(`^step ${step + 1}; lr-0\\.1: [\\d.]+; lr-1: [\\d.]+; lr-100-wd-0\\.1: `));
  },

  async "dragging zooms, the button and a double click reset"() {
    const whole = await range();
    const box = await (await frame.$(".u-over")).boundingBox();
    const drag = async () => {
      await page.mouse.move(box.x + box.width * 0.4, box.y + 50);
      await page.mouse.down();
      await page.mouse.move(box.x + box.width * 0.5, box.y + 60);
      await page.mouse.move(box.x + box.width * 0.6, box.y + 60);
      await page.mouse.up();
      await settle();
      const [low, high] = await range();
      assert.ok(low > whole[0] + 10 && high < whole[1] - 10, `${low} ${high}`);
    };
    await drag();
    await frame.check("#log");
    await settle();
    assert.ok((await range())[0] > whole[0] + 10, "what is zoomed stays so");
    await frame.uncheck("#log");
    await frame.click("#whole");
    await settle();
    assert.deepEqual(await range(), whole);
    assert.ok(await frame.isDisabled("#whole"));
    await drag();
    await page.mouse.dblclick(box.x + 100, box.y + 60);
    await settle();
    assert.deepEqual(await range(), whole);
    await frame.click("#closer");
    await settle();
    assert.ok((await range())[1] - (await range())[0] < (whole[1] - whole[0]) * 0.6);
    await frame.click("#farther");
    await settle();
    assert.deepEqual(await range(), whole);
  },

  async "the logarithmic axis shows powers, and says what cannot stand on it"() {
    await show(losses);
    await frame.check("#log");
    await settle();
    const [low, high] = await frame.evaluate(() => [panels[0].plot.scales.y.min, panels[0].plot.scales.y.max]);
    assert.ok(low < -1 && high > 298 && high < 340);
    await take("log");
    await show(craft([{ values: [1, 0, -2, 4] }], { log_y: true }));
    assert.ok(await frame.isChecked("#log"));
    assert.match(await text("#notes"), /2 values at or below 0/);
    await show(craft([{ values: [-1, -2] }], { log_y: true }));
    assert.match(await text("#notes"), /2 values at or below 0/);
  },

  async "smoothing follows the formula of the server, raw values stay behind"() {
    await show(smooth);
    assert.equal(await frame.inputValue("#smoothing"), "0.8");
    assert.equal(await text("#weight"), "0.80");
    const { values } = smooth._meta[DATA].curves[0];
    let average = 0, total = 0;
    const expected = values.map((value) => {
      average = 0.8 * average + 0.2 * value;
      total = 0.8 * total + 0.2;
      return average / total;
    });
    const drawn = await frame.evaluate(() => panels[0].placed[0].points.map((point) => point.drawn));
    drawn.forEach((value, place) => assert.ok(Math.abs(value - expected[place]) < 1e-9));
    assert.match((await column("Value"))[0], /^[\d.]+ \(~[\d.]+\) @ 40$/);
    const star = await frame.evaluate(() => panels[0].placed[0].events.find((event) => event.kind === "best"));
    const least = Math.min(...expected);
    assert.equal(star.step, smooth._meta[DATA].curves[0].steps[expected.indexOf(least)]);
    assert.ok(Math.abs(star.value - least) < 1e-9);
    assert.match(await text("#notes"), /Stars mark the best smoothed value/);
    await frame.click("#lines .toggle >> nth=2");
    await frame.check("#log");
    await settle();
    await take("smoothed-log");
    const count = await frame.evaluate(() => panels[0].plot.series.length);
    await frame.focus("#smoothing");
    await page.keyboard.press("Home");
    await settle();
    assert.equal(await text("#weight"), "0.00");
    assert.ok(await frame.evaluate(() => panels[0].plot.series.length) < count);
    assert.doesNotMatch((await column("Value"))[0], /~/);
  },

  async "what was left out counts in smoothing"() {
    const all = Array.from({ length: 9 }, () => 1).concat([5]);
    await show(craft([{ values: [1, 1, 5], steps: [0, 8, 9], gaps: [1, 8, 1], total: 10 }, { values: all }], { smoothing: 0.7 }));
    const [thin, whole] = await frame.evaluate(() => panels[0].placed.map(({ points }) => points.at(-1).drawn));
    assert.ok(Math.abs(thin - whole) < 1e-9);
    assert.match(await text("#notes"), /3 of 10 points are drawn; the extremes are kept\. Smoothing is approximate/);
  },

  async "steps, time since the start and time of day are the axes where they are recorded"() {
    await show(losses);
    assert.deepEqual(await frame.$$eval("#axis option", (found) => found.map((one) => one.value)), ["step", "relative_time", "time"]);
    await frame.selectOption("#axis", "relative_time");
    await settle();
    await frame.hover(".u-over");
    assert.match(await text("#cursor"), /^seconds since the start [\d.]+$/);
    await frame.selectOption("#axis", "time");
    await settle();
    const shown = await range();
    const { origin } = losses._meta[DATA].curves[0];
    assert.ok(shown[0] <= origin / 1000 && shown[1] > origin / 1000);
    await frame.hover(".u-over");
    assert.match(await text("#cursor"), /^2026-11-23 \d\d:\d\d:\d\d UTC$/);
    await take("time");
    await show(craft([{ values: [1, 2] }]));
    assert.deepEqual(await frame.$$eval("#axis option", (found) => found.map((one) => one.value)), ["step"]);
    await show(craft([{ values: [1, 2, 3], origin: 1_700_000_001_000, times: [0, null, 0] }], { x_axis: "time" }));
    assert.match(await text("#notes"), /1 points without a recorded time/);
    assert.equal(await frame.evaluate(() => panels[0].placed[0].points.length), 2);
  },

  async "several keys have a column each, and are hidden together"() {
    await show(several);
    assert.equal(await text("#title"), "train/loss, val/loss");
    assert.deepEqual(await texts("#lines .name"), ["lr-0.1", "lr-1"]);
    assert.deepEqual(await texts("figcaption .name"), ["train/loss", "val/loss"]);
    assert.match((await column("val/loss"))[0], /^[\d.]+ \(~[\d.]+\) @ 40$/);
    await take("several");
    await frame.click("figcaption .toggle >> nth=0");
    await settle();
    assert.deepEqual(await isPressed("figcaption .toggle"), [false, true]);
    assert.deepEqual(await column("train/loss"), ["hidden", "hidden"]);
    await frame.click("#lines .toggle >> nth=1");
    await settle();
    assert.deepEqual(await isPressed("#lines .toggle"), [true, false]);
    assert.deepEqual((await column("val/loss")).map((one) => one === "hidden"), [false, true]);
  },

  async "a header sorts the table, also by the keyboard"() {
    await show(losses);
    const names = () => texts("#lines .name");
    const sorting = () => frame.$$eval("#lines thead th", (found) => found.map((one) => one.getAttribute("aria-sort")));
    await frame.focus('#lines thead button >> text="lr"');
    await page.keyboard.press("Enter");
    assert.deepEqual((await sorting()).filter(Boolean), ["ascending"]);
    assert.deepEqual(await names(), ["lr-0.1", "lr-1", "lr-100-wd-0.1"]);
    await page.keyboard.press("Enter");
    assert.equal((await sorting())[3], "descending");
    assert.deepEqual(await names(), ["lr-100-wd-0.1", "lr-1", "lr-0.1"]);
    await frame.click("#lines thead button >> text=Value");
    assert.equal((await names())[2], "lr-100-wd-0.1", "NaN is last");
    await frame.click("#lines thead button >> text=Value");
    assert.equal((await names())[2], "lr-100-wd-0.1", "NaN is last in both orders");
  },

  async "metrics of different units have panels with one cursor and one zoom"() {
    await show(units);
    assert.deepEqual(await texts("figcaption"), ["val/loss", "val/acc"]);
    const box = await (await frame.$(".u-over")).boundingBox();
    await page.mouse.move(box.x + box.width * 0.3, box.y + 50);
    await settle();
    assert.match(await text("#cursor"), /^step \d+$/);
    for (const key of ["val/loss", "val/acc"]) assert.doesNotMatch((await column(key))[0], /@/);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.6, box.y + 60);
    await page.mouse.up();
    await settle();
    const ranges = await frame.evaluate(() => panels.map(({ plot }) => [plot.scales.x.min, plot.scales.x.max].map(Math.round)));
    assert.ok(ranges[0][1] - ranges[0][0] < 25, JSON.stringify(ranges));
    assert.deepEqual(ranges[0], ranges[1]);
    await frame.click("#whole");
    await settle();
    await take("panels");
    await take("panels-wide", 1200);
    await show(units, { theme: "light", locale: "zh-CN" });
    await take("panels-wide-chinese", 1200);
  },

  async "groups are means with bands"() {
    await show(groups);
    assert.ok((await column("n")).every((count) => Number(count) > 1));
    assert.match(await text("#notes"), /one standard deviation/);
    const [curve] = groups._meta[DATA].curves;
    const [drawn, count] = await frame.evaluate(() => [panels[0].placed[0].points.map((point) => [point.low, point.drawn, point.high]), panels[0].plot.bands.length]);
    assert.deepEqual(drawn, curve.steps.map((_, place) => [curve.low[place], curve.values[place], curve.high[place]]));
    assert.equal(count, groups._meta[DATA].curves.length);
    await take("groups");
    await frame.check("#log");
    await settle();
    assert.ok(await frame.evaluate(() => panels[0].plot.scales.y.min > -5));
  },

  async "a sweep is a scatter of runs, with parallel coordinates and a table"() {
    await show(scatter);
    assert.ok(await frame.isChecked("#log-x"));
    assert.deepEqual(await frame.$$eval("#axis option", (found) => found.map((one) => one.textContent)), ["config.lr"]);
    assert.equal(await frame.evaluate(() => panels[0].placed[0].points.length), 7);
    const box = await (await frame.$(".u-over")).boundingBox();
    const left = await frame.evaluate(() => panels[0].plot.valToPos(panels[0].placed[0].points[2].x, "x"));
    await page.mouse.move(box.x + left, box.y + 20);
    await settle();
    assert.match(await text("#cursor"), /^config\.lr [\d.]+ · lr-/);
    assert.equal(await text("#title"), "val/loss");
    await frame.waitForSelector("#sweep svg path.run");
    assert.equal((await frame.$$("#sweep svg path.run")).length, 7);
    assert.match(await frame.getAttribute("#sweep svg", "aria-label"), /^Parallel coordinates of 7 runs: .*\blr, .*val\/loss\./);
    await frame.click("#runs thead button >> text=val/loss, best");
    const found = await frame.$$eval("#runs tbody td:last-child", (cells) => cells.map((cell) => Number(cell.textContent)));
    assert.deepEqual(found, [...found].sort((one, other) => one - other));
    await take("sweep");
    const overlapping = await frame.$$eval("#sweep svg .label, #sweep svg .key", (found) => {
      const boxes = found.map((one) => one.getBoundingClientRect());
      return boxes.flatMap((one, place) => boxes.slice(0, place).filter((other) => one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom)).length;
    });
    assert.equal(overlapping, 0);
    await show(scatter, { theme: "dark", locale: "zh" }, 390);
    await frame.waitForSelector("#sweep svg path.run");
    await take("sweep-phone-dark-chinese");
    assert.equal(await frame.evaluate(() => document.documentElement.scrollWidth), 390);
  },

  async "a third number colours the points on a scale"() {
    await show(shaded);
    assert.match(await text("#colours"), /^colour: val\/acc \(best\) 0\.\d+ +0\.\d+$/);
    const seen = await frame.evaluate(() => {
      const { plot, placed: [{ points }] } = panels[0];
      const { data } = plot.ctx.getImageData(0, 0, plot.ctx.canvas.width, plot.ctx.canvas.height);
      return points.map((point) => {
        const at = (plot.valToPos(point.x, "x", true) | 0) + (plot.valToPos(point.drawn, "y", true) | 0) * plot.ctx.canvas.width;
        return { share: point.share, green: data[at * 4 + 1] };
      });
    });
    assert.deepEqual([Math.min(...seen.map(({ share }) => share)), Math.max(...seen.map(({ share }) => share))], [0, 1]);
    const ordered = [...seen].sort((one, other) => one.share - other.share).map(({ green }) => green);
    assert.ok(ordered.at(-1) > ordered[0] + 100, JSON.stringify(seen));
    await take("coloured");
    await show(shaded, { theme: "dark", locale: "zh" }, 390);
    await take("coloured-phone-dark-chinese");
    await show(scatter);
    assert.ok(!(await isVisible("#colours")));
  },

  async "on paper the tables are whole"() {
    await show(several, { theme: "light", locale: "en" }, 703);
    await frame.evaluate(() => { document.getElementById("sweep").open = true; });
    await page.emulateMedia({ media: "print" });
    await settle();
    const cut = await frame.$$eval(".rows", (found) => found.filter((one) => one.scrollWidth > one.clientWidth || one.scrollHeight > one.clientHeight).map((one) => one.id));
    assert.deepEqual(cut, []);
    await take("print");
    await page.emulateMedia({ media: "screen" });
  },

  async "few extreme points lie outside, until they are zoomed on"() {
    await show(craft([{ values: [900, 500, ...Array.from({ length: 200 }, (_, place) => 2 - place / 200)] }]));
    assert.ok(await frame.evaluate(() => panels[0].plot.scales.y.max < 3));
    assert.match(await text("#notes"), /2 extreme points lie outside/);
    assert.deepEqual(await texts(".mark.outside"), ["▲"]);
    await take("outside");
    await frame.evaluate(() => zoomTo([0, 10]));
    await settle();
    assert.ok(await frame.evaluate(() => panels[0].plot.scales.y.max > 900));
    assert.deepEqual(await texts(".mark.outside"), []);
  },

  async "the host's theme changes page and curves, without one the reader's counts"() {
    const colours = () => frame.evaluate(() => [getComputedStyle(document.body).backgroundColor, document.querySelector("#lines .swatch").style.borderTopColor]);
    await show(losses);
    const light = await colours();
    await page.evaluate(() => window.bridge.sendHostContextChange({ theme: "dark", styles: { variables: { "--color-text-primary": "rgb(1, 2, 3)" } } }));
    await frame.waitForFunction(() => document.documentElement.dataset.theme === "dark");
    await settle();
    const dark = await colours();
    assert.notEqual(light[0], dark[0]);
    assert.notEqual(light[1], dark[1]);
    assert.equal(await frame.evaluate(() => getComputedStyle(document.body).color), "rgb(1, 2, 3)");
    await show(losses, { theme: "dark", locale: "en" });
    await take("dark");
    await page.emulateMedia({ colorScheme: "dark" });
    await show(losses, {});
    assert.deepEqual(await colours(), dark);
    await page.emulateMedia({ colorScheme: "light" });
    await frame.waitForFunction(() => document.documentElement.dataset.theme === "light");
    await settle();
    assert.deepEqual(await colours(), light);
  },

  async "the host's language is spoken"() {
    await show(losses, { theme: "light", locale: "zh-CN" });
    assert.equal(await frame.evaluate(() => document.documentElement.lang), "zh");
    assert.deepEqual(await texts("#controls label > [data-word]"), ["横轴", "对数横轴", "对数纵轴", "平滑"]);
    assert.match(await text("#notes"), /32 个值是 NaN 或无穷大/);
    assert.match(await text("#events summary"), /标记的事件/);
    await take("chinese");
    const chinese = { ...losses, _meta: { [DATA]: { ...losses._meta[DATA], language: "zh" } } };
    await show(chinese, { theme: "light" });
    assert.equal(await text("#controls [data-word=smoothing]"), "平滑");
    await show(chinese, { theme: "light", locale: "en-GB" });
    assert.equal(await text("#controls [data-word=smoothing]"), "smoothing");
    const left = await frame.evaluate(() => Object.keys(WORDS.en).filter((word) => !(word in WORDS.zh)).concat(Object.keys(WORDS.zh).filter((word) => !(word in WORDS.en))));
    assert.deepEqual(left, []);
  },

  async "on a phone nothing sticks out"() {
    for (const width of [360, 320]) {
      await show(several, { theme: "light", locale: "en" }, width);
      const [wide, seen] = await frame.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.equal(wide, seen);
      await take(`phone-${width}`);
    }
    await show(losses, { containerDimensions: { height: 500, width: 820 } });
    const height = await frame.evaluate(() => document.documentElement.getBoundingClientRect().height);
    assert.ok(height <= 501, height);
  },

  async "axe-core finds no violation in light and dark, with everything open"() {
    for (const theme of ["light", "dark"]) {
      for (const [name, result] of Object.entries({ losses, several, units, groups, scatter, shaded })) {
        await show(result, { theme, locale: theme === "dark" ? "zh" : "en" });
        for (const id of ["sweep", "events", "reply"]) await frame.evaluate((which) => { document.getElementById(which).open = true; }, id);
        if (name === "several") await frame.click("#lines .toggle >> nth=0");
        await frame.click("#lines thead button >> nth=0", { force: true }).catch(() => {});
        await settle();
        await checkAccessibility(frame, `${name} ${theme}`);
      }
    }
    await show({ content: losses.content });
    await checkAccessibility(frame, "without data");
  },

  async "without data the picture and the text are shown, and why"() {
    const { _meta, ...rest } = losses;
    assert.ok(_meta);
    await show(rest);
    assert.match(await text("#status"), /did not arrive/);
    assert.ok(!(await isVisible("#panels")));
    assert.match(await frame.$eval("#pictures img", (one) => one.src), /^data:image\/png;base64,/);
    assert.ok(await frame.$eval("#pictures img", (one) => one.naturalWidth === 1000));
    assert.match(await text("#text"), /^3 of 3/);
    await take("fallback");
    await show({ isError: true, content: [{ type: "text", text: "There is no experiment <b>x</b>" }] });
    assert.match(await text("#status"), /Nothing was drawn/);
    assert.equal(await text("#text"), "There is no experiment <b>x</b>");
    await page.evaluate((given) => window.bridge.sendToolResult(given), losses);
    await frame.waitForFunction(() => document.querySelector("#panels canvas"));
    assert.ok(await isVisible("#panels"));
    assert.equal(await text("#status"), "");
  },

  async "before an answer, and when the call is stopped, it says so"() {
    await mount({ locale: "en" });
    await page.evaluate((given) => window.bridge.sendToolInput({ arguments: given }), LOSSES);
    assert.match(await text("#status"), /Waiting for the curves/);
    await page.evaluate(() => window.bridge.sendToolCancelled({ reason: "user action" }));
    await frame.waitForFunction(() => /stopped/.test(document.getElementById("status").textContent));
  },

  async "names are text and nothing else"() {
    const name = `</script><img src=x onerror="document.title='run'"><b>bold</b>`;
    await show(craft([{ values: [1, 2], name, key: name }, { values: [2, 1], name: "other", key: name, events: [{ kind: "best", step: 1, time: null, value: 1 }] }]));
    assert.equal(await text("#title"), name);
    assert.equal((await texts("#lines .name"))[0], name);
    assert.equal((await frame.$$("#view img, #view b:not(.mark), #view script")).length, 0);
    assert.equal(await frame.title(), "SwanLab");
  },

  async "odd curves are drawn too"() {
    const line = (count, of) => Array.from({ length: count }, (_, place) => of(place));
    const cases = {
      "one point": [{ values: [1] }],
      "all NaN": [{ values: ["NaN", "NaN"], non_finite: 2 }],
      constant: [{ values: line(50, () => 3) }],
      zero: [{ values: line(50, () => 0) }],
      huge: [{ values: [1e300, -1e300, 1.7e308, "Infinity", "-Infinity"], non_finite: 2 }],
      tiny: [{ values: [1e-300, 2e-300, 5e-324] }],
      "far apart": [{ values: [1, 2, 3], steps: [0, 1, 9e15] }],
      "a gap": [{ values: line(60, (place) => (place > 20 && place < 30 ? "NaN" : Math.sin(place / 9))), non_finite: 9, events: [
        { kind: "best", step: 42, time: null, value: Math.sin(42 / 9) }, { kind: "non-finite", step: 21, time: null, value: "NaN" },
        { kind: "worsening", step: 45, time: null, value: Math.sin(45 / 9) }] }],
      twenty: line(20, (number) => ({ name: `a rather long name of an experiment, number ${number}`, values: line(300, (place) => Math.exp(-place / (20 + 9 * number)) + number / 40) })),
    };
    for (const [name, curves] of Object.entries(cases)) {
      await show(craft(curves));
      const ticks = await frame.evaluate(() => panels[0].plot.axes.map((axis) => axis._splits?.length ?? 0));
      assert.ok(ticks.every((count) => count >= 1 && count <= 60), `${name}: ticks ${ticks}`);
      if (["a gap", "twenty", "huge", "one point", "all NaN", "far apart"].includes(name)) await take(name.replaceAll(" ", "-"));
      await frame.hover(".u-over");
      await frame.check("#log");
      await frame.fill("#smoothing", "0.9");
      await settle();
      assert.ok(await frame.$("#panels canvas"), name);
    }
    const colours = await frame.$$eval("#lines .swatch", (found) => found.map((one) => one.style.borderTopColor + one.style.borderTopStyle));
    assert.equal(new Set(colours).size, 20);
  },

  async "the report that a ranking links to is offered, and shown in the host's theme and language"() {
    const contexts = [{ theme: "light", locale: "en" }, { theme: "dark", locale: "zh-CN", availableDisplayModes: ["inline", "fullscreen"] }];
    for (const context of contexts) {
      await mount(context, context.theme === "dark" ? 390 : 820, offer.contents[0].text);
      await page.evaluate((given) => window.bridge.sendToolResult(given), ranked);
      await frame.waitForSelector("#show:not([hidden])");
      assert.match(await text("#show"), context.theme === "dark" ? /^显示：.*digits-mlp/ : /^Show: .*digits-mlp/);
      assert.ok(await frame.evaluate(() => document.documentElement.getBoundingClientRect().height < 60));
      await checkAccessibility(frame, "offer");
      await frame.click("#show");
      await frame.waitForSelector("#findings");
      assert.deepEqual(requested.splice(0), [ranked.content.find((block) => block.type === "resource_link").uri]);
      assert.match(await text("h1"), /digits-mlp/);
      const colour = await frame.evaluate(() => getComputedStyle(document.body).backgroundColor);
      assert.equal(colour, context.theme === "dark" ? "rgb(20, 23, 26)" : "rgb(255, 255, 255)");
      assert.equal(await frame.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), 0);
      await checkAccessibility(frame, `report in a host, ${context.theme}`);
      await take(`report-app-${context.theme}`);
    }
  },

  async "a report with foreign parts runs none of them, and its links are the host's"() {
    const [{ text: whole, ...rest }] = report.contents;
    const foreign = '<p id="foreign" onclick="document.title = 1"><a href="https://example.org/run">run</a></p><script>document.title = 2</script>';
    report.contents = [{ ...rest, text: whole.replace("<main>", `<main>${foreign}`) }];
    await mount({ theme: "light" }, 820, offer.contents[0].text);
    await page.evaluate((given) => window.bridge.sendToolResult(given), ranked);
    await frame.click("#show");
    await frame.click("#foreign a");
    await page.waitForFunction(() => window.links.length);
    assert.deepEqual(await page.evaluate(() => window.links), ["https://example.org/run"]);
    assert.match(await frame.evaluate(() => document.title), /digits-mlp/);
    await mount({ theme: "light" }, 820, offer.contents[0].text);
    await page.evaluate((given) => window.bridge.sendToolResult(given), { content: ranked.content.filter((block) => block.type === "text") });
    await settle();
    assert.ok(await frame.$eval("#show", (button) => button.hidden));
  },

  async "a large answer is drawn within reason, and the view ends when asked"() {
    const curves = Array.from({ length: 20 }, (_, number) => ({
      values: Array.from({ length: 1000 }, (_, place) => Math.cos(place / 50 + number)),
      steps: Array.from({ length: 1000 }, (_, place) => place * 20 + number),
    }));
    await show(craft(curves));
    assert.equal(await frame.evaluate(() => panels[0].plot.data[0].length), 20000);
    await page.evaluate(() => window.bridge.teardownResource({}));
    assert.equal(await frame.evaluate(() => panels.length), 0);
    assert.equal((await frame.$$("#panels canvas")).length, 0);
  },
};

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    assert.deepEqual(complaints, [], "the page complained, or asked the network");
  } catch (error) {
    failed += 1;
    console.error(`view: FAILED ${name}\n${error.stack}`);
  }
  complaints.length = 0;
}
await browser.close();
console.log(`view: ${Object.keys(checks).length - failed} of ${Object.keys(checks).length} checks hold in ${browser.version()}`);
process.exitCode = failed ? 1 : 0;

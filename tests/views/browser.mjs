// Start a headless Chromium, and check its pages with axe-core.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf-8");

export const openBrowser = (executablePath) => chromium.launch({
  executablePath,
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
  ],
});

// fail on any violation of WCAG 2.2 AA, or of a best practice that axe-core rates serious
export async function checkAccessibility(frame, name) {
  await frame.evaluate(axe);
  const { violations, passes } = await frame.evaluate(() => window.axe.run({ resultTypes: ["violations"] }));
  assert.ok(passes.length > 10, `${name}: axe-core checked little`);
  const grave = violations.filter(({ impact, tags }) => ["serious", "critical"].includes(impact) || tags.some((tag) => /^wcag2/.test(tag)));
  const found = grave.map(({ id, impact, nodes }) => `${id} (${impact}): ${nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")}`);
  assert.deepEqual(found, [], name);
}

// Check in a real browser that the demo's report is accessible and fits the width, in both languages and both themes.
//   node report.mjs CHROMIUM FOLDER [FOLDER FOR SCREENSHOTS]; PYTHON is an interpreter that can import the server
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { pathToFileURL } from "node:url";
import { checkAccessibility, openBrowser } from "./browser.mjs";

const [executablePath, folder, pictures] = process.argv.slice(2);
const PAPER = 703; // pixels of an A4 page between its margins

// a page on paper cannot scroll, so its tables must fit
async function checkPrint(page, name) {
  const { width, height } = page.viewportSize();
  await page.emulateMedia({ media: "print" });
  await page.setViewportSize({ width: PAPER, height });
  const cut = await page.$$eval(".wide", (found) => found.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.textContent.slice(0, 80)));
  assert.deepEqual(cut, [], `${name}: cut on paper`);
  await page.emulateMedia({ media: "screen" });
  await page.setViewportSize({ width, height });
}

const browser = await openBrowser(executablePath);
let failed = 0, count = 0;
for (const language of ["en", "zh"]) {
  const file = `${folder}/report-${language}.html`;
  execFileSync(process.env.PYTHON ?? "python", ["-m", "swanlab_mcp", "--demo", "report", "digits-mlp", "--lang", language, "-o", file]);
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [390, 1100]) {
      const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
      await page.goto(pathToFileURL(file).href);
      const name = `report-${language}-${colorScheme}-${width}`;
      count += 1;
      try {
        await checkAccessibility(page, name);
        assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width, `${name}: too wide`);
        const hidden = await page.$$eval(".card .wide", (found) => found.filter((one) => one.scrollWidth > one.clientWidth).length);
        assert.equal(hidden, 0, `${name}: diagnoses are cut`);
        await checkPrint(page, name);
      } catch (error) {
        failed += 1;
        console.error(`report: FAILED ${error.message}`);
      }
      if (pictures) await page.screenshot({ path: `${pictures}/${name}.png`, fullPage: true });
      if (pictures && width > 390) await page.screenshot({ path: `${pictures}/${name}-top.png`, clip: { x: 0, y: 0, width, height: 720 } });
      await page.close();
    }
  }
}
await browser.close();
console.log(`report: ${count - failed} of ${count} pages hold`);
process.exitCode = failed ? 1 : 0;

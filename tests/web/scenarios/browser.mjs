// What all scenarios share: a browser that has logged in, and what must never happen on any page.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(process.env.NODE_PATH + "/");
const { chromium } = require("playwright-core");

export const facts = JSON.parse(process.env.FACTS);
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Asks the test that plays this for something that no browser can do. */
export async function ask(what, more = {}) {
  console.log("DO " + JSON.stringify({ what, ...more }));
  return JSON.parse((await answers.next()).value);
}

export async function cli(...argv) {
  const done = await ask("cli", { argv });
  if (done.code !== 0) throw new Error(`${argv.join(" ")}: ${done.err}`);
  return done.out;
}

export function check(condition, text) {
  if (!condition) throw new Error("not so: " + text);
}

export function equal(got, wanted, text) {
  if (JSON.stringify(got) !== JSON.stringify(wanted)) throw new Error(`${text}: got ${JSON.stringify(got)}, wanted ${JSON.stringify(wanted)}`);
}

export async function until(condition, text, milliseconds = 20000) {
  for (const start = Date.now(); Date.now() - start < milliseconds; ) {
    const value = await condition();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("in vain waited for " + text);
}

const faults = [];

function watch(page) {
  page.on("pageerror", (error) => faults.push(`script error: ${error.message}`));
  page.on("console", (message) => /Content.Security.Policy/.test(message.text()) && faults.push(message.text()));
  page.on("request", (request) => {
    if (!request.url().startsWith(facts.url) && !/^(blob|data|about):/.test(request.url())) faults.push(`a request to ${request.url()}`);
  });
}

let browser;

/** A page of a browser of its own, logged in with this token through the form. */
export async function open(token = facts.token, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1360, height: 860 }, ...options });
  context.setDefaultTimeout(20000);
  const page = await context.newPage();
  watch(page);
  await page.goto(facts.url);
  if (token) {
    await page.getByLabel("Token").fill(token);
    await page.getByRole("button", { name: "Log in" }).click();
    await page.locator("nav.side .who b").waitFor({ state: "attached" }); // a phone hides it
  }
  return page;
}

export async function go(page, place) {
  await page.goto(`${facts.url}/#${place}`);
  await page.locator(`main[data-place="${place.split("?")[0]}"]`).waitFor(); // not the page before it, which may have the same buttons
}

/** Plays it, and looks at what must never happen. */
export async function play(scenario) {
  browser = await chromium.launch({
    executablePath: facts.chromium,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"],
  });
  let status = 0;
  try {
    await scenario();
    if (faults.length) throw new Error(faults.join("\n"));
  } catch (error) {
    status = 1;
    console.log(error.stack);
    for (const fault of faults) console.log("also: " + fault);
    for (const context of browser.contexts()) for (const page of context.pages()) console.log(`${page.url()}:\n${await page.evaluate(() => document.body.innerText.slice(0, 4000)).catch(() => "")}`);
  }
  await browser.close();
  process.exit(status);
}

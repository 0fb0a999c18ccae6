// Every page, light and dark, on a desk and on a phone: no serious finding of axe, no sideways scrolling of the whole page, the keyboard reaches everything.
import { readFileSync } from "node:fs";
import { cli, check, facts, go, open, play } from "./browser.mjs";

const axe = readFileSync(facts.axe, "utf8");
let looked = 0;

async function findings(page) {
  // Not as a script of the page: its policy forbids that, rightly.
  return page.evaluate(`(() => { ${axe}; return window.axe.run(document, { resultTypes: ["violations"] }).then((r) => r.violations.filter((v) => ["serious", "critical"].includes(v.impact)).map((v) => v.id + ": " + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + " " + (n.any[0]?.message ?? "")).join(" | "))); })()`);
}

await play(async () => {
  const id = /\d{10,}/.exec(await cli("riverbox", "client", "--container", facts.environment, "--cores", "0", "--wait", "--", "sh", "-c", "echo hello; sleep 1"))?.[0] ?? /\d{10,}/.exec(await cli("riverbox", "task", "list"))[0];
  const places = ["/", "/nodes", `/nodes/${facts.node}`, "/tasks", "/tasks/new", `/tasks/${id}`, "/vps", "/docker/containers", "/docker/tarballs", "/settings"];
  const wrong = [];
  for (const [name, options] of [
    ["light", { colorScheme: "light" }],
    ["dark", { colorScheme: "dark" }],
    ["phone", { colorScheme: "light", viewport: { width: 390, height: 844 } }],
  ]) {
    const context = await open(facts.token, options);
    for (const place of places) {
      await go(context, place);
      await context.locator("main h1").first().waitFor();
      await context.waitForTimeout(400);
      looked++;
      for (const finding of await findings(context)) wrong.push(`${place} (${name}): ${finding}`);
      const wide = await context.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (wide > 1) wrong.push(`${place} (${name}): ${wide} pixels wider than its window`);
      if (facts.screenshots) await context.screenshot({ path: `${facts.screenshots}/${place.replaceAll("/", "-").slice(1) || "overview"}-${name}.png`, fullPage: name !== "phone" });
    }
  }
  check(wrong.length === 0, "\n" + wrong.join("\n"));

  // the keyboard alone: from the first link to a page
  const page = await open();
  await page.keyboard.press("Tab");
  check((await page.evaluate(() => document.activeElement.textContent)) === "Skip to the page", "the first stop of Tab skips the menu");
  for (let i = 0; i < 5; i++) await page.keyboard.press("Tab");
  check(await page.evaluate(() => document.activeElement.matches("nav a")), "then come the places");
  await page.keyboard.press("Enter");
  await page.waitForURL(/#\/.+/);
  console.log(`(${looked} pages)`);
});

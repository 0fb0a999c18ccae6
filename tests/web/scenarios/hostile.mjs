// Names that hold HTML or escape sequences, a line of 10 MB, and somebody who clicks twice.
import { check, cli, equal, facts, go, open, play } from "./browser.mjs";

const NAME = '<img src=x onerror="document.title=1"><b>bold</b>';

async function submit(page, name, script) {
  return page.evaluate(
    async ([name, script, environment]) => {
      const body = JSON.stringify({ name, command: "sh", arguments: ["-c", script], required_cores: 0, container_name: environment, env_vars: { "HTML": "<script>1</script>" } });
      const answer = await fetch("/api/submit", { method: "POST", headers: { "Content-Type": "application/json" }, body });
      const said = await answer.json();
      if (!answer.ok) throw new Error(said.detail);
      return said.task_ids[0];
    },
    [name, script, facts.environment],
  );
}

await play(async () => {
  const page = await open();
  const refused = await submit(page, "\x1b[31mred\u202e", "true").catch((error) => error.message);
  check(/text that can be printed/.test(refused), `the host takes no escape sequences in names: ${refused}`);
  const id = await submit(page, NAME, "printf '\\033[31m<i>red</i>\\033[0m\\n\\033]0;title\\007after\\n'");
  await go(page, "/tasks");
  await page.getByText('<b>bold</b>').first().waitFor();
  equal(await page.locator("main img").count() + await page.locator("main b", { hasText: /^bold$/ }).count(), 0, "a name is text");
  await go(page, `/tasks/${id}`);
  await page.getByText("<i>red</i>").waitFor();
  await page.getByText("after", { exact: true }).waitFor();
  check(/riverbox/.test(await page.title()), "the title is the page's own");

  // one line of 10 MB
  const long = await submit(page, "long line", "head -c 10000000 /dev/zero | tr '\\0' x; echo end-of-it");
  await cli("riverbox", "task", "watch", long).catch(() => {});
  await page.evaluate(() => {
    window.longest = 0;
    let last = performance.now();
    setInterval(() => {
      window.longest = Math.max(window.longest, performance.now() - last);
      last = performance.now();
    }, 20);
  });
  await go(page, `/tasks/${long}`);
  await page.getByText("completed").first().waitFor({ timeout: 60000 });
  await page.getByText(/end-of-it/).first().waitFor({ timeout: 30000 });
  const cells = await page.evaluate(() => document.querySelectorAll("*").length);
  check(cells < 3000, `only what is seen is in the page: ${cells} elements`);
  const longest = await page.evaluate(() => window.longest);
  check(longest < 400 * facts.patience, `the page is never busy for long: ${longest} ms`);

  // twice is once
  await go(page, "/docker/containers");
  const published = () =>
    page.evaluate(async (name) => {
      const events = await (await fetch("/api/events?type=environment&limit=1000")).json();
      return events.filter((event) => event.action === "published" && event.subject === name).length;
    }, facts.environment);
  const before = await published();
  const button = page.locator(`tr[data-name=${facts.environment}]`).getByRole("button", { name: "Create Tar" });
  await button.waitFor();
  await button.evaluate((element) => (element.click(), element.click(), element.click()));
  await page.getByText(`${facts.environment}: packaged as`).waitFor({ timeout: 30000 });
  await page.waitForTimeout(1000);
  equal(await published(), before + 1, "versions made by three clicks");

  // what is not there
  await go(page, "/tasks/123456789");
  await page.getByText(/no task|not found|no such task/i).first().waitFor();
  await go(page, "/nodes/no-such-node");
  await page.getByText(/no node|not found|no such node/i).first().waitFor();
  await go(page, "/nowhere");
  await page.getByText("There is no such page").waitFor();
});

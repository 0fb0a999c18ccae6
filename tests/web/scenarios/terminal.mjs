// A terminal that keeps up: its size, 50 MB, a connection that breaks, the end of the shell; also in a running task.
import { ask, check, cli, equal, facts, go, open, play, until } from "./browser.mjs";
import { place, ready, shows, text, type } from "./shell.mjs";

const BYTES = 50_000_000;

async function openShell(page) {
  await go(page, "/docker/containers");
  await page.locator(`tr[data-name=${facts.environment}]`).getByRole("button", { name: "Shell" }).click();
  await ready(page);
}

const sizes = async (page) => [...(await text(page)).matchAll(/size is (\d+) (\d+)/g)].map((match) => [Number(match[1]), Number(match[2])]);

await play(async () => {
  const page = await open();
  // Every byte of the output channel that comes over the wire.
  let received = 0;
  page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => (received += payload[0] === 0 ? payload.length - 1 : 0)));
  await openShell(page);

  // it has the size of its window, and of every other that it gets
  const ask_size = "stty size | sed 's/^/size is /'";
  await type(page, ask_size);
  await until(async () => (await sizes(page)).length === 1, "the size");
  await page.getByRole("button", { name: "Fill the window" }).click();
  await page.setViewportSize({ width: 1500, height: 950 });
  await page.waitForTimeout(500);
  await type(page, ask_size);
  await until(async () => (await sizes(page)).length === 2, "the other size");
  const [small, large] = await sizes(page);
  check(large[0] > small[0] && large[1] > small[1], `a larger window is a larger terminal: ${small} and ${large}`);

  // 50 MB: the page goes on answering, no byte is lost
  await page.evaluate(() => {
    window.longest = 0;
    let last = performance.now();
    const tick = () => {
      const now = performance.now();
      window.longest = Math.max(window.longest, now - last);
      last = now;
      setTimeout(tick, 20);
    };
    tick();
  });
  const before = received;
  const start = Date.now();
  await type(page, `clear; head -c ${BYTES} /dev/zero | tr '\\0' 'y' | fold -w 100; echo all-$((600 + 66))`);
  await shows(page, "all-666", 120000);
  const lines = BYTES / 100;
  const extra = received - before - (BYTES + lines * 2 - 2);
  check(extra > 0 && extra < 2000, `nothing is lost: ${extra} bytes more than what was printed (the echo and the prompt)`);
  const longest = await page.evaluate(() => window.longest);
  console.log(`50 MB in ${((Date.now() - start) / 1000).toFixed(1)} s, the page was busy for at most ${Math.round(longest)} ms`);
  check(longest < 400 * facts.patience, `the page is never busy for long: ${longest} ms`);

  // search
  await page.getByRole("button", { name: /^Search/ }).click();
  await page.getByLabel("Search the terminal").fill("all-666");
  await page.keyboard.press("Enter");
  equal(await page.getByLabel("Search the terminal").getAttribute("aria-invalid"), "false", "what is there is found");
  await page.getByLabel("Search the terminal").fill("not in there");
  await page.keyboard.press("Enter");
  equal(await page.getByLabel("Search the terminal").getAttribute("aria-invalid"), "true", "what is not there is not");
  await page.keyboard.press("Escape");

  // the host goes away and comes back: a new shell
  await ask("kill_host");
  await page.getByText("The connection broke. Trying again…").waitFor();
  await ask("start_host");
  await shows(page, "this is a new shell");
  await type(page, "echo again-$((1 + 1))");
  await shows(page, "again-2");

  // its end
  await type(page, "exit 7");
  await page.getByText("The shell has ended with exit status 7.").waitFor();
  await page.getByRole("button", { name: "New shell" }).click();
  await type(page, "echo anew-$((1 + 2))");
  await shows(page, "anew-3");
  await page.getByRole("dialog").getByRole("button", { name: "Close", exact: true }).click();

  // a shell in a running task
  const id = /\d{10,}/.exec(await cli("riverbox", "client", "--container", facts.environment, "--cores", "0", "--", "sleep", "300"))[0];
  await go(page, `/tasks/${id}`);
  await page.getByRole("button", { name: "Shell" }).click();
  await type(page, "echo task $HAKURIVER_TASK_ID");
  await shows(page, `task ${id}`);
  await cli("riverbox", "task", "kill", id);
  await until(async () => (await place(page).getAttribute("data-state")) !== "open", "the end of the shell with its task");
});

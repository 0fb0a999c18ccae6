// Two browsers see each other's changes within a second; a host that is gone is told at once and found again by the page itself.
import { ask, check, facts, go, open, play, until } from "./browser.mjs";

await play(async () => {
  const one = await open();
  const two = await open();
  for (const page of [one, two]) await go(page, "/docker/containers");
  await two.locator(`tr[data-name=${facts.environment}]`).waitFor();

  await one.getByRole("button", { name: "Create New Container" }).first().click();
  await one.getByLabel("Docker Image Name").fill("busybox:latest");
  await one.getByLabel("Container Name").fill("seen-by-two");
  await one.getByRole("dialog").getByRole("button", { name: "Create" }).click();
  const here = one.locator("tr[data-name=seen-by-two]");
  const there = two.locator("tr[data-name=seen-by-two]");
  await here.getByText("running").waitFor();
  await there.waitFor({ timeout: 3000 });

  await here.getByRole("button", { name: "Stop" }).click();
  await here.getByText("stopped").waitFor();
  const start = Date.now();
  await there.getByText("stopped").waitFor({ timeout: 5000 });
  console.log(`seen by the other browser ${Date.now() - start} ms after the first one`);
  check(Date.now() - start < 1000 * facts.patience, "changes are seen by others at once");

  // a browser opens six connections to one host: tabs that nobody looks at keep none
  const unseen = [];
  for (let i = 0; i < 8; i++) {
    const tab = await one.context().newPage();
    await tab.addInitScript(() => Object.defineProperty(document, "hidden", { get: () => !window.looked }));
    await tab.goto(`${facts.url}/#/docker/containers`);
    await tab.locator("tr[data-name=seen-by-two]").getByText("stopped").waitFor();
    unseen.push(tab);
  }
  await here.getByRole("button", { name: "Start" }).click();
  await here.getByText("running").waitFor();
  await unseen[7].evaluate(() => ((window.looked = true), document.dispatchEvent(new Event("visibilitychange"))));
  await unseen[7].locator("tr[data-name=seen-by-two]").getByText("running").waitFor(); // and know all when somebody does
  for (const tab of unseen) await tab.close();
  await here.getByRole("button", { name: "Stop" }).click();
  await here.getByText("stopped").waitFor();

  // the host is killed, and comes back
  await ask("kill_host");
  for (const page of [one, two]) await page.getByText("The host does not answer", { exact: true }).waitFor({ timeout: 5000 });
  await ask("start_host");
  for (const page of [one, two]) await page.getByText("The host does not answer", { exact: true }).waitFor({ state: "detached", timeout: 10000 });
  await here.getByRole("button", { name: "Start" }).click();
  await there.getByText("running").waitFor();

  // a node that vanishes while its page is open, and is there again
  await go(one, `/nodes/${facts.node}`);
  await one.getByText("online").first().waitFor();
  await ask("kill_runner");
  await one.getByText("offline").first().waitFor();
  await ask("start_runner");
  await until(async () => (await one.getByText("online").count()) > 0, "the node to be online again");

  await here.page().goto(`${facts.url}/#/docker/containers`);
  await here.getByRole("button", { name: "Delete seen-by-two" }).click();
  await one.getByText("never packaged").waitFor();
  await one.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await there.waitFor({ state: "detached", timeout: 5000 });
});

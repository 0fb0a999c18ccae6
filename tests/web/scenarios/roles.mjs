// What one may not do is not offered; a session that ends in the middle of a shell.
import { check, cli, equal, facts, go, open, play } from "./browser.mjs";
import { ready, shows, type } from "./shell.mjs";

await play(async () => {
  const viewer = await open((await cli("riverbox", "token", "create", "wall", "--role", "viewer")).trim());
  await go(viewer, "/docker/containers");
  const row = viewer.locator(`tr[data-name=${facts.environment}]`);
  await row.waitFor();
  equal(await row.getByRole("button").count(), 0, "a viewer changes nothing");
  equal(await viewer.getByRole("button", { name: "Create New Container" }).count(), 0, "nor makes anything");
  await go(viewer, "/settings");
  await viewer.getByRole("heading", { name: "Settings" }).waitFor();
  equal(await viewer.getByRole("button", { name: /token/i }).count(), 0, "nor gives tokens away");

  const wrong = await open(null);
  await wrong.getByLabel("Token").fill("not a token");
  await wrong.getByRole("button", { name: "Log in" }).click();
  await wrong.getByRole("alert").waitFor();

  const deep = await open(null);
  await deep.goto("about:blank");
  await deep.goto(`${facts.url}/#/tasks?status=failed`);
  await deep.getByLabel("Token").fill(facts.token);
  await deep.getByRole("button", { name: "Log in" }).click();
  await deep.waitForURL(/#\/tasks\?status=failed$/);
  await deep.getByRole("button", { name: /^failed/i, pressed: true }).waitFor();

  const made = JSON.parse(await cli("riverbox", "token", "create", "olga", "--role", "operator", "--json"));
  const page = await open(made.token);
  await go(page, "/docker/containers");
  await page.locator(`tr[data-name=${facts.environment}]`).getByRole("button", { name: "Shell" }).click();
  await ready(page);
  await type(page, "echo before-$((1 + 1))");
  await shows(page, "before-2");
  await cli("riverbox", "token", "revoke", made.id);
  await page.getByText("Your session has ended").waitFor();
  const again = (await cli("riverbox", "token", "create", "olga", "--role", "operator")).trim();
  await page.getByLabel("Token").fill(again);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByText("Your session has ended").waitFor({ state: "detached" });
  await shows(page, "before-2"); // what was there is still there
  await page.getByRole("button", { name: "New shell" }).click();
  await ready(page);
  await type(page, "echo after-$((1 + 2))");
  await shows(page, "after-3");
  await page.getByRole("dialog").getByRole("button", { name: "Close", exact: true }).click();
  const row2 = page.locator(`tr[data-name=${facts.environment}]`);
  await cli("hakuriver.docker", "stop-container", facts.environment);
  await row2.getByText("stopped").waitFor(); // the page is told of what happens, as before
  await cli("hakuriver.docker", "start-container", facts.environment);
  await row2.getByText("running").waitFor();
  await page.getByRole("button", { name: "Log out" }).click();
  await page.waitForURL(/\/login/);
  check((await page.context().cookies()).every((cookie) => cookie.name !== "riverbox_session"), "logging out takes the cookie");
});

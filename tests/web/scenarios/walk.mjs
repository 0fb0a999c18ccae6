// The documented walk: make an environment, change it in a shell, package it, run a task in it, read its output.
import { readFileSync } from "node:fs";
import { check, equal, facts, go, open, play, until } from "./browser.mjs";
import { type, shows } from "./shell.mjs";

await play(async () => {
  const page = await open();
  await page.getByRole("link", { name: "Docker" }).click();
  await page.getByRole("tab", { name: "Host Containers" }).waitFor();

  await page.getByRole("button", { name: "Create New Container" }).first().click();
  const form = page.getByRole("dialog");
  await form.getByLabel("Docker Image Name").fill("busybox:latest");
  await form.getByLabel("Container Name").fill("Walk");
  await form.getByText("Names are lower case: walk").waitFor();
  check(await form.getByRole("button", { name: "Create" }).isDisabled(), "a wrong name cannot be sent");
  await form.getByLabel("Container Name").fill("walk");
  for (let i = 0; i < 5; i++) await page.keyboard.press("Escape"); // what was typed is not lost by that
  await form.getByRole("button", { name: "Create" }).click();
  const row = page.locator("tr[data-name=walk]");
  await row.getByText("running").waitFor();
  await row.getByText("not packaged").waitFor();

  await row.getByRole("button", { name: "Stop" }).click();
  await row.getByText("stopped").waitFor();
  await row.getByRole("button", { name: "Start" }).click();
  await row.getByText("running").waitFor();

  await row.getByRole("button", { name: "Shell" }).click();
  await until(() => page.evaluate(() => !!document.activeElement.closest(".screen")), "the terminal to have the focus"); // one can type at once
  await type(page, "mkdir -p /opt && echo installed-$((40 + 2)) > /opt/program && cat /opt/program");
  await shows(page, "installed-42");
  if (facts.screenshots) await page.screenshot({ path: `${facts.screenshots}/shell.png` });
  await page.getByRole("dialog").getByRole("button", { name: "Close", exact: true }).click();

  await row.getByRole("button", { name: "Create Tar" }).click();
  await page.getByText("walk: packaged as walk-").waitFor();
  await row.getByText("not packaged").waitFor({ state: "detached" });

  await page.getByRole("tab", { name: "Shared Tarballs" }).click();
  const tarball = page.locator("tr[data-name=walk]");
  await tarball.getByRole("button", { name: "Versions of walk" }).click();
  const version = page.locator("tr[data-version]").first();
  await version.getByText("newest").waitFor();
  await version.getByRole("button", { name: "Sync now" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Sync now" }).click();
  await version.getByRole("link", { name: facts.node }).waitFor();
  await version.getByRole("button", { name: /^Pin/ }).click();
  await version.getByText("pinned").waitFor();
  const [download] = await Promise.all([page.waitForEvent("download"), version.getByRole("link", { name: /^Download/ }).click()]);
  check(/^walk-\d+\.tar$/.test(download.suggestedFilename()), "the tarball can be downloaded");
  await download.cancel();

  await tarball.getByRole("link", { name: "New task" }).click();
  await page.getByRole("textbox", { name: /^Command/ }).fill("cat /opt/program; echo problem >&2");
  await until(async () => (await page.locator("select").first().inputValue()) === "walk", "the environment to be chosen");
  await page.getByRole("button", { name: /^Submit/ }).click();
  await page.waitForURL(/#\/tasks\/\d+/);
  await page.getByText("installed-42").waitFor();
  await page.getByText("completed").first().waitFor();
  await page.getByRole("tab", { name: /Stderr/i }).click();
  await page.getByText("problem", { exact: true }).waitFor();

  // a container to live in
  await go(page, "/vps");
  await page.getByRole("button", { name: "New VPS" }).first().click();
  const wish = page.getByRole("dialog");
  await wish.getByLabel("Name").fill("Walk");
  await wish.getByText("At most 63 of a-z").waitFor();
  await wish.getByLabel("Name").fill("walk-box");
  await wish.getByLabel("Environment", { exact: true }).last().selectOption("walk");
  await wish.getByLabel("Cores").fill("0");
  await wish.getByLabel("My public key").check();
  await wish.getByLabel("Public key", { exact: true }).fill("no key at all");
  await wish.getByRole("button", { name: "Create" }).click();
  await wish.getByText("holds no public key of SSH").waitFor();
  if (facts.screenshots) await page.screenshot({ path: `${facts.screenshots}/new-vps.png` });
  await wish.getByLabel("Make a key").check();
  await wish.getByRole("button", { name: "Create" }).click();
  await wish.getByText("This is shown once").waitFor();
  for (let i = 0; i < 5; i++) await page.keyboard.press("Escape"); // what is told once stays until it was taken
  if (facts.screenshots) await page.screenshot({ path: `${facts.screenshots}/private-key.png` });
  const key = await wish.getByLabel("The private key").inputValue();
  check(/^-----BEGIN OPENSSH PRIVATE KEY-----\n[^]*\n-----END OPENSSH PRIVATE KEY-----\n$/.test(key), "a private key is told");
  const [saved] = await Promise.all([page.waitForEvent("download"), wish.getByRole("link", { name: "Download" }).click()]);
  check(/^vps-\d+$/.test(saved.suggestedFilename()), "the key has the name by which it is found");
  equal(readFileSync(await saved.path(), "utf8"), key, "the key as a file");
  await wish.getByRole("button", { name: "I have it" }).click();
  const box = page.locator("tr[data-name=walk-box]");
  await box.getByText("running").waitFor();
  await box.getByText("riverbox ssh walk-box").waitFor();
  await box.getByRole("button", { name: "Shell" }).click();
  await type(page, "cat /opt/program; echo kept-$((6 * 7)) > /kept");
  await shows(page, "installed-42");
  await page.getByRole("dialog").getByRole("button", { name: "Close", exact: true }).click();
  await box.getByRole("button", { name: "Shell" }).click(); // the same one, which has gone on
  await shows(page, "installed-42");
  await page.getByRole("dialog").getByRole("button", { name: "Close", exact: true }).click();
  await box.getByRole("button", { name: "Share walk-box" }).click();
  const sharing = page.getByRole("dialog");
  await sharing.getByLabel("User").fill("nobody-called-so");
  await sharing.getByRole("button", { name: "Share", exact: true }).click();
  await sharing.getByText("there is no user 'nobody-called-so'").waitFor();
  await sharing.getByLabel("User").fill("walker");
  await sharing.getByRole("button", { name: "Share", exact: true }).click();
  await box.getByText("shared with walker").waitFor();
  await sharing.getByRole("button", { name: "Share with walker no more" }).click();
  await box.getByText("shared with walker").waitFor({ state: "detached" });
  await sharing.getByRole("button", { name: "Close", exact: true }).first().click();
  await box.getByRole("button", { name: "Stop" }).click();
  await box.getByText("stopped").first().waitFor();
  await box.getByRole("button", { name: "Snapshots of walk-box" }).click();
  await page.getByLabel("What for").fill("to keep");
  await page.getByRole("button", { name: "Take a snapshot" }).click();
  await page.getByRole("dialog").getByRole("cell", { name: "to keep" }).waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Restore" }).click();
  await page.getByRole("dialog").getByText("a snapshot is taken first").waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Restore" }).click();
  await box.getByText("running").waitFor();
  await box.getByRole("button", { name: "Shell" }).click();
  await type(page, "cat /kept");
  await shows(page, "kept-42");
  await page.getByRole("dialog").getByRole("button", { name: "Close", exact: true }).click();
  await box.getByRole("button", { name: "Stop" }).click();
  await box.getByText("stopped").first().waitFor();
  await box.getByRole("button", { name: "Remove walk-box" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
  await box.waitFor({ state: "detached" });

  await go(page, "/docker/containers");
  await row.getByRole("button", { name: "Delete walk" }).click();
  await page.getByRole("dialog").getByText("Its tarballs stay").waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await row.waitFor({ state: "detached" });
});

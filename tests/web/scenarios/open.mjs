// A host without authentication: nobody logs in, everybody is told what that means.
import { equal, go, open, play } from "./browser.mjs";

await play(async () => {
  const page = await open(null);
  await page.getByText("Authentication is off").waitFor();
  equal(await page.getByRole("button", { name: "Log out" }).count(), 0, "there is nothing to log out of");
  await go(page, "/docker/containers");
  await page.getByRole("button", { name: "Create New Container" }).first().waitFor();
});

// What a scenario does with a terminal of the page: types, and reads what it shows.
import { until } from "./browser.mjs";

export const place = (page) => page.locator(".screen[data-state]").last();

export async function ready(page) {
  await until(async () => (await place(page).getAttribute("data-state").catch(() => "")) === "open", "an open shell");
}

export async function type(page, command) {
  await ready(page);
  await place(page).locator("textarea").focus();
  await page.keyboard.type(command + "\n", { delay: 1 });
}

export async function text(page) {
  return place(page).evaluate((element) => element.riverboxText());
}

export async function shows(page, wanted, milliseconds) {
  return until(async () => {
    const shown = await text(page).catch(() => "");
    return wanted instanceof RegExp ? wanted.exec(shown) : shown.includes(wanted);
  }, `${wanted} in the terminal`, milliseconds);
}

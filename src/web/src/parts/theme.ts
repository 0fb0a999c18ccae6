// Light, dark, or as the system has it.
import { ref, watch } from "vue";

export type Theme = "system" | "light" | "dark";
const KEY = "riverbox-theme";

function stored(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return value === "light" || value === "dark" ? value : "system";
  } catch {
    return "system"; // storage may be forbidden
  }
}

const system = matchMedia("(prefers-color-scheme: dark)");
export const theme = ref<Theme>(stored());
export const dark = ref(false);

function apply() {
  dark.value = theme.value === "dark" || (theme.value === "system" && system.matches);
  document.documentElement.dataset.theme = dark.value ? "dark" : "light";
}

watch(theme, (value) => {
  try {
    localStorage.setItem(KEY, value);
  } catch {
    // then only for this page
  }
  apply();
});
system.addEventListener("change", apply);
apply();

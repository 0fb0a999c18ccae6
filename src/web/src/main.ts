import { createApp } from "vue";
import App from "./App.vue";
import { router } from "./router";
import "./style.css";

// The router hears of other addresses only once the first page has been fetched.
let meanwhile = "";
const note = () => (meanwhile = location.hash.slice(1));
addEventListener("hashchange", note);
router.isReady().finally(() => {
  removeEventListener("hashchange", note);
  if (meanwhile) router.replace(meanwhile);
});

createApp(App).use(router).mount("#app");

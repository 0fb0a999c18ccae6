import { createApp } from "vue";
import App from "./App.vue";
import { router } from "./router";
import "./style.css";

// The router hears of other addresses only once the first page has been fetched. (popstate comes with the change itself; a hashchange may come only after the router is ready, and is then nobody's.)
let meanwhile = "";
const note = () => (meanwhile = location.hash.slice(1));
addEventListener("popstate", note);
router.isReady().finally(() => {
  removeEventListener("popstate", note);
  if (meanwhile) router.replace(meanwhile);
});

createApp(App).use(router).mount("#app");

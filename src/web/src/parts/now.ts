// The time at the host, for texts such as "3 min ago". One timer for the page.
import { ref } from "vue";
import { hostNow } from "./clock";

export const now = ref(hostNow());
setInterval(() => {
  if (!document.hidden) now.value = hostNow();
}, 1000);

// The time, for texts such as "3 min ago". One timer for the page.
import { ref } from "vue";

export const now = ref(Date.now());
setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 1000);

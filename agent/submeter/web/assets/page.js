// Puts the newest state of things into the page every two seconds, while somebody can see it.
"use strict";

const PERIOD_MS = 2000;
const PATIENCE_MS = 5000;
const live = document.getElementById("live");
const lost = document.getElementById("lost");

async function refresh() {
  if (!document.hidden) {
    try {
      const answer = await fetch("/live", { signal: AbortSignal.timeout(PATIENCE_MS) });
      if (!answer.ok) throw new Error(answer.statusText);
      live.innerHTML = await answer.text(); // our own server's, where every text is escaped
      lost.hidden = true;
    } catch {
      lost.hidden = false;
    }
  }
  setTimeout(refresh, PERIOD_MS);
}

setTimeout(refresh, PERIOD_MS);

// @ts-check
// Keeps the page's own figures true: asks /me/wallet.json once a second while the page is seen, and writes what changed.
// Without it the page says the same as of its loading.

const PERIOD_MS = 1000;
const SLOW_MS = 8000;

/** @param {Record<string, string>} texts */
function write(texts) {
  for (const [name, text] of Object.entries(texts)) {
    for (const place of document.querySelectorAll(`[data-live="${name}"]`)) {
      if (place.textContent !== text) place.textContent = text;
    }
  }
}

/** @param {Record<string, [number, number]>} bar */
function draw(bar) {
  for (const [name, [start, width]] of Object.entries(bar)) {
    const part = document.querySelector(`.bar .${name}`);
    part?.setAttribute("x", String(start));
    part?.setAttribute("width", String(width));
  }
}

let wait = PERIOD_MS;

async function turn() {
  if (document.visibilityState === "visible") {
    try {
      const answer = await fetch("/me/wallet.json", { headers: { accept: "application/json" } });
      if (answer.status === 401) return location.reload();
      if (!answer.ok) throw new Error(String(answer.status));
      const { texts, bar } = await answer.json();
      write(texts);
      draw(bar);
      wait = PERIOD_MS;
    } catch {
      wait = Math.min(wait * 2, SLOW_MS);
    }
  }
  setTimeout(turn, wait);
}

setTimeout(turn, PERIOD_MS);

// Asks a running service about recordings:   node classify.mjs cry.wav [MORE...]
// Node 20 or newer, nothing to install. CRYLENS_URL and CRYLENS_TOKEN say where to ask, and with what token.
import { openAsBlob } from "node:fs";
import { basename } from "node:path";

const url = process.env.CRYLENS_URL ?? "http://127.0.0.1:8000";
const headers = process.env.CRYLENS_TOKEN ? { Authorization: `Bearer ${process.env.CRYLENS_TOKEN}` } : {};

// Posts a recording; comes back when the service says it is busy, throws what else it refuses.
async function classify(path) {
  let answer;
  for (let attempt = 0; attempt < 5; attempt++) {
    const form = new FormData();
    form.append("file", await openAsBlob(path), basename(path));
    answer = await fetch(`${url}/classify`, { method: "POST", body: form, headers });
    if (answer.status !== 429 && answer.status !== 503) break;
    await new Promise((wake) => setTimeout(wake, 1000 * Number(answer.headers.get("retry-after") ?? 1)));
  }
  const found = await answer.json();
  if (!answer.ok) throw new Error(`${found.code}: ${found.detail}`);
  return found;
}

for (const path of process.argv.slice(2)) {
  const found = await classify(path);
  const times = found.episodes.map((e) => `${e.start_s.toFixed(1)}-${e.end_s.toFixed(1)} s`).join(", ");
  const chance = found.detection.cry_probability.toFixed(2);
  console.log(`${basename(path)}: ${times ? "cry" : "no cry"} (${chance}) ${times} ${found.label ?? ""}`.trim());
}

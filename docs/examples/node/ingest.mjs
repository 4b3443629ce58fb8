// Sends a day of heart rates in bodies of 500, each again until it is answered, and reads daily figures back.
//
//   URL=http://127.0.0.1:8080 KEY=avk_… node ingest.mjs
//
// Needs Node 18 or newer, and no package. Sending again is safe: the same person, metric, time, source and device
// replace themselves.

const { URL: base, KEY: key } = process.env;
const headers = { "Content-Type": "application/json", "X-API-Key": key };
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

async function send(points, tries = 6) {
  for (let attempt = 1; ; attempt++) {
    let seconds = 2 ** (attempt - 1);
    let reason;
    try {
      const body = JSON.stringify({ data_points: points });
      const answer = await fetch(`${base}/api/v1/wearables/bulk-ingest`, { method: "POST", headers, body });
      if (answer.ok) return (await answer.json()).ingested;
      reason = `${answer.status} ${await answer.text()}`;
      if (answer.status < 500 && ![408, 429].includes(answer.status)) throw new RangeError(reason);
      seconds = Number(answer.headers.get("Retry-After")) || seconds;
    } catch (error) {
      if (error instanceof RangeError || attempt === tries) throw error;
      reason = error.message;
    }
    if (attempt === tries) throw new Error(`given up after ${tries} tries: ${reason}`);
    await pause(seconds);
  }
}

// One heart rate each five minutes, the last 24 hours, on whole minutes.
const minute = 60_000;
const now = Math.floor(Date.now() / minute) * minute;
const points = Array.from({ length: 288 }, (_, nth) => ({
  metric: "heart_rate",
  value: 62 + Math.round(8 * Math.sin(nth / 20)),
  unit: "bpm",
  recorded_at: new Date(now - nth * 5 * minute).toISOString(),
  source: "node-example",
}));

let ingested = 0;
for (let start = 0; start < points.length; start += 500) {
  ingested += await send(points.slice(start, start + 500));
}

const query = new URLSearchParams({ days: "2", bucket: "1d", agg: "avg,min,max,count", tz: "Europe/Berlin" });
const answer = await fetch(`${base}/api/v1/wearables/metric/heart_rate?${query}`, { headers });
if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
console.log(JSON.stringify({ ingested, ...(await answer.json()) }, null, 2));

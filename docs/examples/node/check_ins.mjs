// Prints the averages of each patient who has let a doctor in.
//
//   URL=http://127.0.0.1:8080 KEY=avk_… node check_ins.mjs
//
// KEY is the doctor's. Needs Node 18 or newer, and no package.

const { URL: base, KEY: key } = process.env;
const DAYS = 30;

class ApiError extends Error {}

async function get(path) {
  const answer = await fetch(`${base}/api/v1${path}`, { headers: { "X-API-Key": key } });
  if (answer.ok) return answer.json();
  const body = await answer.json().catch(() => ({}));
  const detail = typeof body.detail === "string" ? body.detail : JSON.stringify(body.detail);
  throw new ApiError(`${answer.status}: ${detail}`);
}

// One decimal; a dash where nothing was said.
const shown = (average) => (average === null ? "-" : average.toFixed(1));

const { grants } = await get("/grants/outgoing");
if (grants.length === 0) console.log("nobody has let you in yet");
for (const { patient_id: id, patient_name: name } of grants) {
  const { summary } = await get(`/grants/patient/${id}/check-ins?days=${DAYS}`);
  console.log(
    `${name}: mood ${shown(summary.avg_mood)}, energy ${shown(summary.avg_energy)}, ` +
      `sleep ${shown(summary.avg_sleep_hours)} h, ${summary.total_check_ins} check-ins`,
  );
}

// Takes webhooks with Node alone, by the published header. SECRET is the endpoint's whole `whsec_…`, PORT where to
// listen (any free one by default).
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const secret = process.env.SECRET;
const seen = new Set();

// Whether the body, byte by byte as it came, was signed with our secret.
function isGenuine(body, header) {
  const expected = Buffer.from("sha256=" + createHmac("sha256", secret).update(body).digest("hex"));
  const given = Buffer.from(header ?? "");
  return given.length === expected.length && timingSafeEqual(given, expected);
}

const server = createServer(async (request, response) => {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  const body = Buffer.concat(pieces);
  if (!isGenuine(body, request.headers["x-avycenna-signature"])) {
    response.writeHead(401).end();
    return;
  }
  const event = JSON.parse(body);
  // The header cannot stop a replay: remember the ids, where a restart does not lose them.
  if (!seen.has(event.event_id)) {
    seen.add(event.event_id);
    console.log(event.event_id, event.event);
  }
  response.writeHead(204).end();
});
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => {
  console.log("listening on port", server.address().port);
});

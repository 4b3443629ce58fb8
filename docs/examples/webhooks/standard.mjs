// Takes webhooks with the library of Standard Webhooks (`npm ci` beside this file installs it), whose signature covers
// the time of sending: what is older than five minutes is refused. SECRET and PORT as in `receiver.mjs`.
import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.env.SECRET);
const seen = new Set();

const server = createServer(async (request, response) => {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  let event;
  try {
    event = webhook.verify(Buffer.concat(pieces).toString(), request.headers);
  } catch {
    response.writeHead(401).end();
    return;
  }
  // Within the five minutes, and for tries of ours that you have answered, the id still has to be remembered.
  if (!seen.has(event.event_id)) {
    seen.add(event.event_id);
    console.log(event.event_id, event.event);
  }
  response.writeHead(204).end();
});
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => {
  console.log("listening on port", server.address().port);
});

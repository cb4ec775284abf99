// Receive webhooks with Node.js 18 or newer and no library: verify, store each event once, answer.
//
//   export OPENPNS_WEBHOOK_SECRET=whsec_...   # during a rotation: both, with a comma between
//   PORT=8000 node node_receiver.mjs
//
// Deliver to https://your.host/webhook. The events are lines of the file EVENTS_FILE. Handle them
// later: the sender waits for the answer, and tries again if it takes too long.

import { createHmac, timingSafeEqual } from "node:crypto";
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, writeSync } from "node:fs";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const TOLERANCE_S = 300;
const BODY_BYTES_MAX = 1 << 20;

export class Refused extends Error {
  constructor(status, why) {
    super(why);
    this.status = status;
  }
}

// Return the bytes of secrets, which have commas or spaces between them.
export function readSecrets(text) {
  const keys = text
    .split(/[\s,]+/)
    .filter(Boolean)
    .map((secret) => {
      if (!/^whsec_[A-Za-z0-9+/]{32,}=*$/.test(secret)) throw new Error("malformed webhook secret");
      return Buffer.from(secret.slice("whsec_".length), "base64");
    });
  if (keys.length === 0) throw new Error("OPENPNS_WEBHOOK_SECRET is not set");
  return keys;
}

// Throw Refused, unless a signature over the raw body (a Buffer) is right and the time is near.
// Node.js joins a repeated header with a comma, so it is malformed.
export function verify(body, headers, keys, nowS = Date.now() / 1000) {
  const id = headers["webhook-id"] ?? "";
  const timestamp = headers["webhook-timestamp"] ?? "";
  if (!/^[A-Za-z0-9_-]{1,128}$/.test(id)) throw new Refused(400, "webhook-id: missing or malformed");
  if (!/^[1-9][0-9]{0,11}$/.test(timestamp)) {
    throw new Refused(400, "webhook-timestamp: missing or malformed");
  }
  if (Math.abs(nowS - Number(timestamp)) > TOLERANCE_S) {
    throw new Refused(401, "webhook-timestamp: too old or too new");
  }
  const entries = (headers["webhook-signature"] ?? "").split(" ");
  const signatures = entries
    .filter((entry) => /^v1,[A-Za-z0-9+/]{43}=$/.test(entry))
    .map((entry) => Buffer.from(entry.slice("v1,".length), "base64"));
  if (signatures.length === 0 || !entries.every((entry) => /^[A-Za-z0-9]+,[^,]+$/.test(entry))) {
    throw new Refused(400, "webhook-signature: missing or malformed");
  }
  const expected = keys.map((key) =>
    createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest(),
  );
  if (!expected.some((ours) => signatures.some((theirs) => timingSafeEqual(ours, theirs)))) {
    throw new Refused(401, "webhook-signature: does not match");
  }
  return id;
}

async function readBody(request) {
  const chunks = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length <= BODY_BYTES_MAX) chunks.push(chunk); // the rest is read, and dropped
  }
  if (length > BODY_BYTES_MAX) throw new Refused(413, "the body is too large");
  return Buffer.concat(chunks);
}

// Stores events as JSON lines. One process must use the file.
class Events {
  constructor(file) {
    const text = existsSync(file) ? readFileSync(file, "utf8") : "";
    const lines = text.split("\n");
    const rest = lines.pop(); // half a line, if a crash interrupted its writing
    this.seen = new Set(lines.filter(isJson).map((line) => JSON.parse(line).id));
    this.file = openSync(file, "a");
    if (rest) writeSync(this.file, "\n");
  }

  // A repeat has the same id, and changes nothing.
  add(id, body) {
    if (this.seen.has(id)) return;
    writeSync(this.file, `${JSON.stringify({ id, body: body.toString("utf8") })}\n`);
    fsyncSync(this.file);
    this.seen.add(id);
  }

  close() {
    closeSync(this.file);
  }
}

function isJson(line) {
  try {
    JSON.parse(line);
    return true;
  } catch {
    return false;
  }
}

function main() {
  const keys = readSecrets(process.env.OPENPNS_WEBHOOK_SECRET ?? "");
  const events = new Events(process.env.EVENTS_FILE ?? "events.jsonl");
  const server = createServer(async (request, response) => {
    try {
      if (request.url !== "/webhook") throw new Refused(404, "not found");
      if (request.method !== "POST") throw new Refused(405, "allowed is POST");
      const body = await readBody(request);
      // Answer only after the event is on disk; any other answer makes the sender try again.
      events.add(verify(body, request.headers, keys), body);
      response.writeHead(204).end();
    } catch (error) {
      const isRefused = error instanceof Refused;
      if (!isRefused) console.error(error.message);
      response.writeHead(isRefused ? error.status : 500, { connection: "close" });
      response.end(isRefused ? error.message : "failed");
    }
  });
  server.listen(Number(process.env.PORT ?? 8000), "127.0.0.1", () => {
    console.log(`listening on http://127.0.0.1:${server.address().port}/webhook`);
  });
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) main();

// List your number groups page by page, with Node.js 18 or newer and no library.
//
//   export OPENPNS_BASE_URL=https://pns.example.com
//   export OPENPNS_ACCESS_KEY=... OPENPNS_ACCESS_SECRET=...
//   node list_groups.mjs
//
// OPENPNS_ALGORITHM=sha256 signs with SHA-256 instead of MD5.

import { createHash } from "node:crypto";

const PAGE_SIZE = 2;
const { OPENPNS_BASE_URL, OPENPNS_ACCESS_KEY, OPENPNS_ACCESS_SECRET } = process.env;
const algorithm = process.env.OPENPNS_ALGORITHM ?? "md5";

async function send(action, fields) {
  // Serialise the body once: sign and send the same bytes.
  const body = JSON.stringify(fields);
  const ts = String(Date.now());
  const text =
    `accessKey=${OPENPNS_ACCESS_KEY}&action=${action}&bizType=5&ts=${ts}` +
    `&body=${body}&accessSecret=${OPENPNS_ACCESS_SECRET}`;
  const response = await fetch(new URL("/api/pns/", OPENPNS_BASE_URL), {
    method: "POST",
    headers: {
      accessKey: OPENPNS_ACCESS_KEY,
      action,
      bizType: "5",
      ts,
      sign: createHash(algorithm).update(text, "utf8").digest("hex"),
      algorithm,
      "Content-Type": "application/json",
    },
    body,
    signal: AbortSignal.timeout(30_000),
  });
  const answer = await response.json();
  if (answer.code !== 0) {
    throw new Error(`${answer.msg} [${action}, code ${answer.code}, requestId ${answer.requestId}]`);
  }
  return answer;
}

async function main() {
  let { total } = (await send("listGroup", { limit: 1, offset: 0 })).data;
  console.log(`${total} groups`);
  let count = 0;
  for (let offset = 0; offset < total; ) {
    const { data } = await send("listGroup", { limit: PAGE_SIZE, offset });
    if (data.groups.length === 0) break;
    for (const group of data.groups) {
      const phones = group.phones === "" ? [] : group.phones.split(",");
      console.log(`${group.groupId}  ${phones.length} phones  ${group.groupName}`);
      count += phones.length;
    }
    offset += data.groups.length;
    total = data.total;
  }
  console.log(`${count} phones in all`);
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});

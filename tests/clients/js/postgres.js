// Reads spans through node-pg by the Postgres door, and prints "ok".
//
// usage: postgres.js HOST PORT COUNT     COUNT spans of one request are there
"use strict";

const assert = require("node:assert");
const { Client, Pool } = require("pg");

const [host, port, count] = process.argv.slice(2);
const where = { host, port: Number(port), user: "me", database: "cloudsail" };

async function main() {
  const client = new Client(where);
  await client.connect();
  const version = await client.query("SHOW server_version_num");
  assert.deepStrictEqual(version.rows, [{ server_version_num: "160006" }]);

  // The simple protocol, and the extended one with parameters.
  const all = await client.query("SELECT time, name, is_error, duration_ms, attributes FROM spans ORDER BY time");
  assert.strictEqual(all.rows.length, Number(count));
  const [row] = all.rows;
  assert(row.time instanceof Date, row.time);
  assert.strictEqual(typeof row.is_error, "boolean");
  assert.strictEqual(typeof row.duration_ms, "number");
  assert.strictEqual(typeof row.attributes, "object");
  const some = await client.query("SELECT count(*)::int AS n FROM spans WHERE name = $1 AND duration_ns >= $2", [row.name, 0]);
  assert(some.rows[0].n >= 1);
  const listed = await client.query("SELECT count(*)::int AS n FROM spans WHERE array_has($1::text[], name)", [[row.name, "x"]]);
  assert(listed.rows[0].n >= 1);
  for (let turn = 0; turn < 3; turn += 1) {
    const named = await client.query({ name: "double", text: "SELECT $1::bigint * 2 AS n", values: [21] });
    assert.strictEqual(named.rows[0].n, "42");
  }
  const several = await client.query("SELECT 10 AS a; SELECT 20 AS a");
  assert.deepStrictEqual(several.map((answer) => String(answer.rows[0].a)), ["10", "20"]);
  assert.deepStrictEqual((await client.query("-- ping")).rows, []);

  // Errors have codes, and a failed transaction has to be rolled back.
  await client.query("BEGIN");
  await assert.rejects(client.query("SELECT nothing FROM spans"), { code: "42703" });
  await assert.rejects(client.query("SELECT 1"), { code: "25P02" });
  await client.query("ROLLBACK");
  await assert.rejects(client.query("DELETE FROM spans"), { code: "25006" });
  await client.query("SET statement_timeout = '200ms'");
  await assert.rejects(
    client.query("SELECT count(*) FROM generate_series(1, 100000000000) WHERE value % 7 = 3"),
    { code: "57014" },
  );
  await client.end();

  const pool = new Pool({ ...where, max: 4 });
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, n) => pool.query("SELECT $1::int AS n", [n])),
  );
  assert.deepStrictEqual(answers.map((answer) => answer.rows[0].n), Array.from({ length: 20 }, (_, n) => n));
  await pool.end();
  console.log("ok");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

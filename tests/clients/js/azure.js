// An Azure Blob server on loopback, for tests: Azurite with one container.
//
// usage: node azure.js CONTAINER
//
// Prints its address as one line and ends with its standard input, so that it
// never outlives the test that started it, however that ends.

const { spawn } = require("child_process");
const { createHmac } = require("crypto");
const path = require("path");

// Azurite's well-known account, the same everywhere and no secret.
const ACCOUNT = "devstoreaccount1";
const KEY =
  "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

// PUT Container, signed with the shared key.
async function create(address, container) {
  const date = new Date().toUTCString();
  const headers = { "x-ms-date": date, "x-ms-version": "2021-12-02" };
  const named = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`);
  const resource = `/${ACCOUNT}/${ACCOUNT}/${container}\nrestype:container`;
  const text = `PUT\n${"\n".repeat(11)}${named.join("")}${resource}`;
  const signature = createHmac("sha256", Buffer.from(KEY, "base64")).update(text).digest("base64");
  headers.Authorization = `SharedKey ${ACCOUNT}:${signature}`;
  const url = `${address}/${ACCOUNT}/${container}?restype=container`;
  const answer = await fetch(url, { method: "PUT", headers });
  if (answer.status !== 201) {
    throw new Error(`${url}: ${answer.status} ${await answer.text()}`);
  }
}

const flags = ["--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence", "--silent"];
const program = path.join(__dirname, "node_modules/.bin/azurite-blob");
const server = spawn(process.execPath, [program, ...flags, "--skipApiVersionCheck", "--disableTelemetry"], {
  stdio: ["ignore", "pipe", "inherit"],
});
let said = "";
let found = false;
server.stdout.on("data", (chunk) => {
  said += chunk;
  const address = said.match(/listens on (http:\S+)/);
  if (address && !found) {
    found = true;
    create(address[1], process.argv[2]).then(
      () => console.log(address[1]),
      (error) => {
        console.error(error);
        server.kill();
      },
    );
  }
});
server.on("exit", (code) => process.exit(code ?? 1));
process.stdin.on("end", () => server.kill()).resume();

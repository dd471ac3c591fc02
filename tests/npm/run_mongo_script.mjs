// Runs a mongosh script without mongosh: prints each database command that it would send, one JSON object per line.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { runInNewContext } from "node:vm";

const database = (name) => ({
  createRole: ({ role, ...rest }) => console.log(JSON.stringify({ db: name, createRole: role, ...rest })),
  createUser: ({ user, ...rest }) => console.log(JSON.stringify({ db: name, createUser: user, ...rest })),
});

runInNewContext(readFileSync(process.argv[2], "utf8"), {
  db: { getSiblingDB: database },
  process,
  require: createRequire(import.meta.url),
});

// Users of the archive's database. The official image runs this once, before the first start as a replica set.
//
// The service that appends must not be able to rewrite history: its role has insert and find, nothing else, so that
// update, delete, createIndex and drop fail on the server whatever the code does. Indexes and validators are made by
// `bootstrap`, which the provisioning job uses and no running service.

const fs = require("fs");

const SECRETS = process.env.PINGYI_MONGO_SECRETS || "/run/secrets/pingyi";
const DATABASE = process.env.PINGYI_MONGO_DATABASE || "pingyi";

function password(name) {
  const value = fs.readFileSync(`${SECRETS}/${name}`, "utf8").trim();
  if (value.length < 16) {
    throw new Error(`${SECRETS}/${name} has ${value.length} characters, expected 16 or more: create the secrets anew`);
  }
  return value;
}

const archive = db.getSiblingDB(DATABASE);

archive.createRole({
  role: "archiveAppend",
  privileges: [{ resource: { db: DATABASE, collection: "" }, actions: ["insert", "find"] }],
  roles: [],
});
archive.createRole({
  role: "archiveBootstrap",
  privileges: [
    {
      resource: { db: DATABASE, collection: "" },
      actions: ["createCollection", "collMod", "createIndex", "listCollections", "listIndexes", "find"],
    },
  ],
  roles: [],
});
archive.createUser({ user: "archive", pwd: password("archive-password"), roles: ["archiveAppend"] });
archive.createUser({ user: "bootstrap", pwd: password("bootstrap-password"), roles: ["archiveBootstrap"] });

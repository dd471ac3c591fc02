// Healthy means: a writable primary. A fresh server is made a replica set of one first, since only a replica set
// acknowledges with `w: majority, j: true`. Run by compose's healthcheck with mongosh.

const fs = require("fs");

db.getSiblingDB("admin").auth("root", fs.readFileSync("/run/secrets/pingyi/root-password", "utf8").trim());
if (!db.hello().setName) {
  rs.initiate({ _id: "pingyi", members: [{ _id: 0, host: "mongo:27017" }] });
}
quit(db.hello().isWritablePrimary ? 0 : 1);

// An outside reader that knows an address and two subjects, and nothing of our code. Prints one JSON line for each
// thing that happens; ends after the number of events given as third argument.
import { connect } from "@nats-io/transport-node";

const [, , server, wanted] = process.argv;
const say = (line) => console.log(JSON.stringify(line));

const connection = await connect({ servers: server });

const forbidden = connection.subscribe("feedback.>", {
  callback: (error, message) =>
    say(error ? { refused: "feedback.>", error: error.message } : { leaked: message.subject }),
});
const rankings = connection.subscribe("ranking.v1.*.3607.>", { max: Number(wanted) });
await connection.flush();
say({ ready: true });

for await (const message of rankings) {
  say({ subject: message.subject, event: message.json() });
}
// Late messages of the other subscription would still show.
await new Promise((resolve) => setTimeout(resolve, 300));
say({ feedbackReceived: forbidden.getReceived() });
await connection.close();

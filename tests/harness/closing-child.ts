import { writeFileSync } from "node:fs";
import { startRawServer } from "./raw-server.ts";

/** A server that closes each connection after its answer, and makes the file `closed` once the first has closed. */
const [closed = ""] = process.argv.slice(2);
const server = await startRawServer(({ socket }) => {
  socket.write('HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"a":1}');
  socket.end(() => writeFileSync(closed, ""));
});
process.stdout.write(`${server.port}\n`);

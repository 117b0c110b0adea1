/** The peer: the least that answers the same question, a bare Bun.serve and the same select over postgres.js. */
import { createPool } from "../src/database/pool.ts";

const [url = "", size = "30"] = process.argv.slice(2);
const sql = createPool(url, { size: Number(size) });
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  development: false,
  routes: {
    "/app/:id": async ({ params: { id } }) => {
      const [row] = await sql`
        select id, account_id, name, icon, description, status, config, created_at, updated_at
        from app where id = ${id} and deleted_at is null`;
      return Response.json({ code: "SUCCESS", message: `应用已经成功获取,名字是${row?.name}`, data: row });
    },
  },
});
process.stdout.write(`${server.url.origin}\n`);

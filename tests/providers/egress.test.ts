import { expect, test } from "bun:test";
import { UpstreamError } from "../../src/errors/app-error.ts";
import { isPublicAddress } from "../../src/providers/egress.ts";
import { createTransport } from "../../src/providers/transport.ts";

const timeouts = { connectMs: 1000, firstByteMs: 1000, idleMs: 1000, totalMs: 2000 };
const outgoing = { headers: {}, body: "{}", streamed: false, timeouts, local: false, proxied: false };

const inner = [
  "0.0.0.0",
  "10.1.2.3",
  "100.64.0.1",
  "100.100.100.200",
  "127.0.0.1",
  "169.254.169.254",
  "172.16.0.1",
  "172.31.255.255",
  "192.0.0.8",
  "192.168.0.1",
  "198.18.0.1",
  "203.0.113.7",
  "224.0.0.1",
  "255.255.255.255",
  "168.63.129.16",
  "::",
  "::1",
  "::ffff:127.0.0.1",
  "::ffff:7f00:1",
  "::7f00:1",
  "64:ff9b::7f00:1",
  "64:ff9b:1::1",
  "2001::1",
  "2001:db8::1",
  "2002:7f00:1::",
  "fc00::1",
  "fd00:ec2::254",
  "fe80::1",
  "fe80::1%eth0",
  "fec0::1",
  "ff02::1",
  "not an address",
  "",
];

test("no address of an inner or special network is public, however it is spelt", () => {
  for (const ip of inner) expect([ip, isPublicAddress(ip)]).toEqual([ip, false]);
  for (const ip of ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8"]) {
    expect([ip, isPublicAddress(ip)]).toEqual([ip, true]);
  }
});

const send = async (url: string, look: (name: string) => Promise<string[]>, dialled: string[] = []) => {
  const transport = createTransport({
    resolver: { resolve: look },
    connect: async ({ hostname }) => {
      dialled.push(hostname);
      throw new Error("nobody is to be called in this test");
    },
  });
  using call = transport.open(new AbortController().signal, timeouts);
  const failure = await call.send(url, outgoing).catch((error: unknown) => error);
  return failure instanceof UpstreamError ? failure.reason : failure;
};

test("a name is refused where any of its addresses is an inner one, before anything is dialled", async () => {
  const dialled: string[] = [];
  for (const addresses of [["10.0.0.1"], ["1.1.1.1", "127.0.0.1"], [], ["::1"]]) {
    expect(await send("https://models.example/v1", async () => addresses, dialled)).toBe("blocked");
  }
  expect(dialled).toEqual([]);
});

test("the address that was checked is the one that is dialled, whatever the name says a moment later", async () => {
  const answers = [["1.1.1.1"], ["127.0.0.1"]];
  const dialled: string[] = [];
  expect(await send("https://models.example/v1", async () => answers.shift() ?? [], dialled)).toBe(
    "unreachable",
  );
  expect(dialled).toEqual(["1.1.1.1"]);
});

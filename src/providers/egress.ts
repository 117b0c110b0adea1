import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { addressRanges, unmapped } from "../address.ts";
import type { Soon } from "../soon.ts";

/**
 * What is no public address: IANA's special-purpose registries for IPv4 and IPv6, the ways to write an IPv4 address as
 * an IPv6 one (NAT64, 6to4, Teredo), and the clouds' metadata services.
 */
const special4 = addressRanges([
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/4",
  "240.0.0.0/4",
  "168.63.129.16/32",
]);
// A list of its own: one that holds IPv4 addresses as IPv6 ones would hold all of IPv4.
const special6 = addressRanges([
  "::/96",
  "::ffff:0:0/96",
  "64:ff9b::/96",
  "64:ff9b:1::/48",
  "100::/64",
  "2001::/23",
  "2001:db8::/32",
  "2002::/16",
  "3fff::/20",
  "5f00::/16",
  "fc00::/7",
  "fe80::/10",
  "fec0::/10",
  "ff00::/8",
]);

/** Whether `ip` is an address of the public internet; anything that is no address, or has a zone, is not. */
export function isPublicAddress(ip: string): boolean {
  const plain = unmapped(ip);
  if (plain.includes("%")) return false;
  const family = isIP(plain);
  return family === 4 ? !special4.has(plain) : family === 6 && !special6.has(plain);
}

/** Where a host name leads. */
export interface Resolver {
  /**
   * All addresses of a host, which may be an address itself; a promise only where they must be looked up. Rejects with what the
   * look-up throws.
   */
  resolve(hostname: string): Soon<readonly string[]>;
}

/** How long a look-up is remembered, in milliseconds. */
const rememberedMs = 30_000;
/** Most names that are remembered. */
const namesMax = 1000;

/** Looks names up through the system, and remembers them for 30 s. */
export function createResolver({
  look = async (hostname) => (await lookup(hostname, { all: true })).map(({ address }) => address),
  now = () => performance.now(),
}: {
  look?: (hostname: string) => Promise<readonly string[]>;
  now?: () => number;
} = {}): Resolver {
  const known = new Map<string, { addresses: readonly string[]; until: number }>();
  const lookUp = async (hostname: string) => {
    const addresses = await look(hostname);
    if (known.size >= namesMax) known.delete(known.keys().next().value ?? "");
    known.set(hostname, { addresses, until: now() + rememberedMs });
    return addresses;
  };
  return {
    resolve(hostname) {
      if (isIP(hostname) !== 0) return [hostname];
      const found = known.get(hostname);
      return found && found.until > now() ? found.addresses : lookUp(hostname);
    },
  };
}

import { BlockList, isIP } from "node:net";

/** A set of networks in CIDR form; a single address is a network of one. */
export interface AddressRanges {
  has(address: string): boolean;
}

const familyOf = (address: string) => (isIP(address) === 6 ? "ipv6" : "ipv4");

/** Whether `text` is an address or a network in CIDR form. */
export function isAddressRange(text: string): boolean {
  const [address = "", bits, ...more] = text.split("/");
  const family = isIP(address);
  // A zone (`fe80::1%eth0`) means something on one machine only.
  if (family === 0 || address.includes("%") || more.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 6 ? 128 : 32));
}

/** The networks named in `texts`, which must all pass {@link isAddressRange}. */
export function addressRanges(texts: readonly string[]): AddressRanges {
  if (texts.length === 0) return { has: () => false };
  const list = new BlockList();
  for (const text of texts) {
    const [address = "", bits] = text.split("/");
    const family = familyOf(address);
    list.addSubnet(address, bits === undefined ? (family === "ipv6" ? 128 : 32) : Number(bits), family);
  }
  return {
    has: (address) => {
      const plain = unmapped(address);
      return isIP(plain) !== 0 && list.check(plain, familyOf(plain));
    },
  };
}

/** An IPv4 address that came over an IPv6 socket (`::ffff:192.0.2.1`), as the IPv4 address it is. */
export const unmapped = (address: string): string =>
  address.startsWith(":") ? address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, "") : address;

/**
 * Who is calling: the peer, or where that is a trusted proxy the last address of `X-Forwarded-For` that is not one.
 * The header is read from the right, because what stands further left was written by whoever came before.
 */
export function clientAddress(peer: string, forwardedFor: string | null, trusted: AddressRanges): string {
  let address = unmapped(peer);
  const hops = forwardedFor?.slice(-4096).split(",") ?? [];
  while (trusted.has(address)) {
    const hop = unmapped(hops.pop()?.trim() ?? "");
    if (isIP(hop) === 0) break;
    address = hop;
  }
  return address;
}

/** The network an address belongs to, for records and counting: /24 for IPv4, /56 for IPv6 (one household). */
export function networkOf(address: string): string {
  const version = isIP(address);
  if (version === 4) return `${address.slice(0, address.lastIndexOf("."))}.0/24`;
  if (version !== 6) return "unknown";
  const [left = "", right = ""] = (address.split("%")[0] ?? "").split("::");
  const head = left === "" ? [] : left.split(":");
  const tail = right === "" ? [] : right.split(":");
  const groups = [...head, ...Array(Math.max(0, 8 - head.length - tail.length)).fill("0"), ...tail];
  const fourth = Number.parseInt(groups[3] ?? "0", 16) & 0xff00;
  return `${groups
    .slice(0, 3)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(":")}:${fourth.toString(16)}::/56`;
}

/** Where a service listens, as a URL: an IPv6 address stands in brackets there. */
export const httpUrl = (host: string, port: number | undefined): string =>
  `http://${host.includes(":") ? `[${host}]` : host}:${port}`;

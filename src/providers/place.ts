import { remembered } from "../remembered.ts";
import type { Endpoint } from "./http-connection.ts";
import { isField } from "./http-head.ts";

/** A URL, taken apart once. */
export interface Place {
  endpoint: Endpoint;
  /** What of a request's head is the same each time, from behind the method to the headers. */
  line: string;
  /** When it was last answered; minus infinity where nothing vouches for it. Shared by all places of one origin. */
  vouched: { at: number };
}

/** Most origins of which something is remembered, and most URLs. */
const originsMax = 1000;

/** Remembers what URLs lead to. */
export const createPlaces = (): ((url: string) => Place) => {
  const places = new Map<string, Place>();
  const answered = new Map<string, { at: number }>();

  return (text) => {
    const known = places.get(text);
    if (known) return known;
    const url = new URL(text);
    const secure = url.protocol === "https:";
    const hostname = url.hostname.replace(/^\[(.*)\]$/, "$1");
    let vouched = answered.get(url.origin);
    if (!vouched) {
      vouched = { at: Number.NEGATIVE_INFINITY };
      if (answered.size >= originsMax) answered.delete(answered.keys().next().value ?? "");
      answered.set(url.origin, vouched);
    }
    const port = Number(url.port) || (secure ? 443 : 80);
    const path = url.pathname + url.search;
    const place = {
      endpoint: { hostname, port, serverName: secure ? hostname : undefined },
      // What is compressed would have to be unpacked, and would come late.
      line: ` ${path} HTTP/1.1\r\nhost: ${url.host}\r\naccept-encoding: identity\r\n`,
      vouched,
    };
    if (places.size >= originsMax) places.delete(places.keys().next().value ?? "");
    places.set(text, place);
    return place;
  };
};

type Fields = Readonly<Record<string, string>>;

/** The lines of headers as they are sent, each checked; made once. @throws {TypeError} one that cannot be sent. */
export const createFieldLines = (): ((headers: Fields) => string) =>
  remembered((headers) => {
    let lines = "";
    for (const [name, text] of Object.entries(headers)) {
      const value = text.trim();
      if (!isField(name, value)) throw new TypeError(`the header ${name} cannot be sent`);
      lines += `${name}: ${value}\r\n`;
    }
    return lines;
  });

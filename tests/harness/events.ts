import type { EventScanner, Frame } from "../../src/gateway/sse.ts";

/** The events that a piece completes. */
export function eventsOf(scanner: EventScanner, piece: Uint8Array): Frame[] {
  scanner.push(piece);
  const frames: Frame[] = [];
  for (let frame = scanner.next(); frame; frame = scanner.next()) frames.push(frame);
  return frames;
}

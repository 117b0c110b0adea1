/** A key as its owner holds it: `llmops-<public id>-<secret>`. */
export interface KeyParts {
  /** 16 letters and digits; may be logged. */
  publicId: string;
  /** 256 random bits. */
  secret: string;
}

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const form = /^llmops-([0-9A-Za-z]{16})-([A-Za-z0-9_-]{43})$/;

/** The parts of a well-formed key; `undefined` for anything else. */
export function parseKey(text: string): KeyParts | undefined {
  const [, publicId, secret] = form.exec(text) ?? [];
  return publicId && secret ? { publicId, secret } : undefined;
}

/** A new key. */
export function newKey(): KeyParts {
  // 62 does not divide 256: bytes beyond the last whole multiple would favour the first letters.
  let publicId = "";
  while (publicId.length < 16) {
    for (const byte of crypto.getRandomValues(new Uint8Array(24))) {
      if (byte < 248 && publicId.length < 16) publicId += alphabet[byte % 62];
    }
  }
  return { publicId, secret: Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64url") };
}

/** The key as text, which is shown once and never stored. */
export const formatKey = ({ publicId, secret }: KeyParts): string => `llmops-${publicId}-${secret}`;

import { expect, test } from "bun:test";
import { addKey, keyStatus, logIn, startProduction } from "./kit.ts";

const bearer = (key: string) => ({ authorization: `Bearer ${key}` });
/** The same letters in the other case. */
const swapped = (text: string) =>
  text.replace(/[a-z]/gi, (letter) => (letter < "a" ? letter.toLowerCase() : letter.toUpperCase()));
/** Another character of the same alphabet. */
const other = (character = "") => (character === "A" ? "B" : "A");

test("401 is answered to whatever shares a part with a key that is remembered, however often it was used", async () => {
  await using app = await startProduction();
  const owner = await logIn(app);
  const one = await addKey(app, owner);
  const two = await addKey(app, owner);
  const { key, publicId, secret } = one;
  const last = other(secret.at(-1));
  const forged = [
    `llmops-${publicId}-${two.secret}`,
    `llmops-${two.publicId}-${secret}`,
    `llmops-${publicId}-${secret.slice(0, -1)}${last}`,
    `llmops-${publicId}-${other(secret[0])}${secret.slice(1)}`,
    `llmops-${publicId}-${"A".repeat(43)}`,
    `llmops-${publicId}-${secret.slice(0, 42)}`,
    `llmops-${publicId}-${secret}A`,
    `llmops-${publicId}-`,
    `llmops-${publicId}`,
    `llmops-${publicId.slice(0, 15)}-${secret}`,
    `llmops-${publicId}0-${secret}`,
    `llmops-${publicId.slice(0, 15)}${other(publicId.at(-1))}-${secret}`,
    `llmops-${swapped(publicId)}-${secret}`,
    `llmops-${publicId}-${swapped(secret)}`,
    `LLMOPS-${publicId}-${secret}`,
    `${publicId}-${secret}`,
    key.slice(0, 24),
    key.slice(0, -1),
    `${key},${two.key}`,
    secret,
  ];
  for (const state of ["not remembered", "remembered"]) {
    for (const text of forged) {
      const status = await keyStatus(app, bearer(text));
      expect([state, text, status]).toEqual([state, text, 401]);
    }
    expect([await keyStatus(app, bearer(key)), await keyStatus(app, bearer(two.key))]).toEqual([200, 200]);
  }
});

test("401 is answered to wrong secrets of a key also while the right one is being looked up", async () => {
  await using app = await startProduction();
  const { key, publicId } = await addKey(app, await logIn(app));
  const wrong = `llmops-${publicId}-${"A".repeat(43)}`;
  const answers = await Promise.all([key, wrong, key, wrong].map((each) => keyStatus(app, bearer(each))));
  expect(answers).toEqual([200, 401, 200, 401]);
});

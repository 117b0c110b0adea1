/** Whether the digits pass Luhn's check, as the numbers of payment cards do (ISO/IEC 7812-1). */
function isCardNumber(text: string): boolean {
  const digits = text.replace(/\D/g, "");
  if (digits.length < 13 || digits.length > 19) return false;
  let total = 0;
  for (let i = 0; i < digits.length; i++) {
    const digit = Number(digits[digits.length - 1 - i]);
    const doubled = i % 2 === 1 ? digit * 2 : digit;
    total += doubled > 9 ? doubled - 9 : doubled;
  }
  return total % 10 === 0;
}

/**
 * What is replaced, and by what. Every repetition is bounded, so that no text makes the search slow; the replacements hold no
 * character that means something in JSON.
 */
const rules: readonly { pattern: RegExp; name: string; holds?: (text: string) => boolean }[] = [
  { name: "email", pattern: /[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}/g },
  {
    name: "key",
    pattern: /\b(?:sk|pk|rk)-[A-Za-z0-9_-]{16,200}|\bllmops-[0-9A-Za-z]{16}-[A-Za-z0-9_-]{43}/g,
  },
  { name: "key", pattern: /\bBearer {1,4}[A-Za-z0-9._~+/=-]{16,4096}/gi },
  // A Chinese resident's id: region, date of birth, three digits and a check character (GB 11643-1999).
  {
    name: "id",
    pattern: /(?<!\d)[1-9]\d{5}(?:18|19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx](?!\d)/g,
  },
  // Chinese mobile numbers, and numbers with a country's code.
  { name: "phone", pattern: /(?<!\d)(?:\+?86[ -]?)?1[3-9]\d(?:[ -]?\d{4}){2}(?!\d)/g },
  { name: "phone", pattern: /\+[1-9](?:[ ()-]{0,2}\d){6,14}(?!\d)/g },
  { name: "card", pattern: /(?<![\d.])\d(?:[ -]?\d){12,18}(?![\d.])/g, holds: isCardNumber },
  {
    name: "ip",
    pattern: /(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.])/g,
  },
];

/**
 * A JSON text without what tells who somebody is, or opens something: e-mail addresses, telephone numbers, numbers of
 * payment cards and Chinese resident ids, API keys, IPv4 addresses. Each becomes `[email]` and the like. What looks like
 * none of these stays: this is a help, and no promise.
 */
export const redact = (text: string): string =>
  rules.reduce(
    (kept, { pattern, name, holds = () => true }) =>
      kept.replace(pattern, (found) => (holds(found) ? `[${name}]` : found)),
    text,
  );

/**
 * UTF-8 bytes per token, for an estimate where a provider does not count: about 4 characters of English text per token
 * (OpenAI, "What are tokens and how to count them"), each of one byte; about 0.6 tokens per Chinese character (DeepSeek,
 * "Token & Token Usage"), each of three bytes, which would be 5. The lower of the two: a bill is not to be too small.
 */
const bytesPerToken = 4;

/** Tokens of a text by its size, at least 1 where there is any. An estimate, and to be called one. */
export const estimateTokensOfBytes = (bytes: number): number => Math.ceil(bytes / bytesPerToken);

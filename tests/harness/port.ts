/**
 * A port for somebody to listen on who has to know it beforehand: below those that the system gives to outgoing connections
 * (`ip_local_port_range`), one of which could be there first, even one that looks for this very port and finds itself.
 */
export const drawPort = (): number => 20_000 + Math.floor(Math.random() * 12_000);

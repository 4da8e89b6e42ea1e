/**
 * What every browser has as `crypto` is not a global of the oldest Node that these tests run on.
 */

if (!('crypto' in globalThis)) {
    const { webcrypto } = await import('node:crypto');
    Object.defineProperty(globalThis, 'crypto', { value: webcrypto, configurable: true });
}

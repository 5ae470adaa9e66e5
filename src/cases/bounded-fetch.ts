import { PromptdError } from "../core/errors.ts";

/** Of what an endpoint sends: many times the longest answer. */
const MAX_BYTES = 4 * 1024 * 1024;

/**
 * A `fetch` that ends, and sends a key to nobody but whom it was given.
 *
 * @param timeout milliseconds until the whole answer is there
 */
export function boundedFetch(timeout: number): typeof fetch {
  return async (input, init = {}) => {
    const limit = AbortSignal.timeout(timeout);
    const signal = init.signal ? AbortSignal.any([init.signal, limit]) : limit;
    try {
      const response = await fetch(input, { ...init, signal, redirect: "manual" });
      const { status, statusText, headers } = response;
      if (status >= 300 && status < 400) {
        await response.body?.cancel();
        const why = `the endpoint said ${status}, and no redirect is followed: the key would go along`;
        throw new PromptdError("refused", why);
      }
      const bytes = await bytesOf(response);
      const body = bytes.length === 0 ? null : bytes;
      return new Response(body, { status, statusText, headers });
    } catch (thrown) {
      if (!limit.aborted || thrown instanceof PromptdError) throw thrown;
      throw new PromptdError("deadline", `not within ${timeout / 1000} s`);
    }
  };
}

/** @throws too_large */
async function bytesOf({ body }: Response): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    size += chunk.length;
    if (size > MAX_BYTES) {
      throw new PromptdError("too_large", `expected at most ${MAX_BYTES} bytes, and more came`);
    }
    chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

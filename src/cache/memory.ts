import { LRUCache } from "lru-cache";
import type { AnswerCache } from "../core/ports.ts";

/**
 * A cache in this process's memory, bounded in bytes: the least recently used
 * answers are dropped. An answer larger than the whole bound is not kept.
 */
export function memoryCache<Answer extends object>(maxBytes: number): AnswerCache<Answer> {
  const lru = new LRUCache<string, Answer>({ maxSize: maxBytes });
  return {
    get: (key) => lru.get(key),
    set: (key, answer, bytes) => void lru.set(key, answer, { size: bytes }),
  };
}

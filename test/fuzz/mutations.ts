import fc from "fast-check";

type Mutation = (bytes: Buffer) => Buffer;

const at = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
const bytes = fc.uint8Array({ maxLength: 8 });

/** A place in bytes, given as a fraction, so that it means something for every length. */
const place = (fraction: number, { length }: Uint8Array) => Math.floor(fraction * (length + 1));

const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.tuple(at, fc.nat(7)).map(
    ([where, bit]): Mutation =>
      (all) => {
        const flipped = Buffer.from(all);
        const index = place(where, all);
        flipped[index] = (flipped[index] ?? 0) ^ (1 << bit);
        return flipped;
      },
  ),
  fc.tuple(at, fc.constantFrom(0, 1, 0x7f, 0x80, 0xff)).map(
    ([where, value]): Mutation =>
      (all) => {
        const written = Buffer.from(all);
        written[place(where, all)] = value;
        return written;
      },
  ),
  at.map(
    (where): Mutation =>
      (all) =>
        all.subarray(0, place(where, all)),
  ),
  fc.tuple(at, bytes).map(
    ([where, inserted]): Mutation =>
      (all) => {
        const index = place(where, all);
        return Buffer.concat([all.subarray(0, index), inserted, all.subarray(index)]);
      },
  ),
  fc.tuple(at, at, fc.nat(3)).map(
    ([one, other, times]): Mutation =>
      (all) => {
        // Taken out for 0, said again for more.
        const [from = 0, to = 0] = [place(one, all), place(other, all)].sort((a, b) => a - b);
        const part = Array(times).fill(all.subarray(from, Math.min(to, from + 4096)));
        return Buffer.concat([all.subarray(0, from), ...part, all.subarray(to)]);
      },
  ),
);

/** What happens to bytes on a bad way: nothing, or a few changes. */
export const mutations: fc.Arbitrary<Mutation> = fc.array(mutation, { maxLength: 3 }).map((all) =>
  Object.assign((start: Buffer) => all.reduce((changed, change) => change(changed), start), {
    [fc.toStringMethod]: () => `${all.length} mutations`,
  }),
);

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Pattern;

/** Checks bucketing flagd-v2 against the vectors: java Bucketing.java ../vectors.json */
class Bucketing {
  /** The JDK reads no JSON. No text in the vectors needs an escape. */
  static final Pattern VECTOR =
      Pattern.compile(
          "\"salt\":\\s*\"([^\"]*)\",\\s*\"user_id\":\\s*\"([^\"]*)\",\\s*\"hash\":\\s*(\\d+),\\s*\"bucket\":\\s*(\\d+)");

  /** MurmurHash3_x86_32 with seed 0. An int is signed: the last step makes the hash unsigned. */
  static long murmur3(byte[] bytes) {
    int hash = 0;
    for (int start = 0; start < bytes.length; start += 4) {
      int end = Math.min(start + 4, bytes.length);
      int block = 0;
      for (int i = end - 1; i >= start; i--) block = block << 8 | bytes[i] & 0xff;
      hash ^= Integer.rotateLeft(block * 0xcc9e2d51, 15) * 0x1b873593;
      if (end - start == 4) hash = Integer.rotateLeft(hash, 13) * 5 + 0xe6546b64;
    }
    hash ^= bytes.length;
    hash = (hash ^ hash >>> 16) * 0x85ebca6b;
    hash = (hash ^ hash >>> 13) * 0xc2b2ae35;
    return Integer.toUnsignedLong(hash ^ hash >>> 16);
  }

  static long bucket(long hash) {
    return hash * 10_000 >> 32;
  }

  public static void main(String[] args) throws Exception {
    var vectors = VECTOR.matcher(Files.readString(Path.of(args[0])));
    int all = 0;
    int passed = 0;
    while (vectors.find()) {
      var text = vectors.group(1) + vectors.group(2);
      long hash = murmur3(text.getBytes(StandardCharsets.UTF_8));
      all++;
      if (hash == Long.parseLong(vectors.group(3))
          && bucket(hash) == Long.parseLong(vectors.group(4))) {
        passed++;
      } else {
        System.err.println(vectors.group() + ": found hash " + hash + ", bucket " + bucket(hash));
      }
    }
    System.out.println(passed + " of " + all + " vectors passed");
    System.exit(passed == all && all > 0 ? 0 : 1);
  }
}

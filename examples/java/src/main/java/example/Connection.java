package example;

import io.grpc.ClientInterceptor;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.stub.MetadataUtils;
import java.util.List;
import java.util.Map;

/** The one connection to promptd that a process needs. */
final class Connection {
  /**
   * Reads are tried again while promptd cannot be reached. Mutations are not: a SetLabels that arrived
   * and is sent again would answer with a `previous` that undoes nothing.
   */
  private static final Map<String, Object> RETRIES =
      Map.of(
          "methodConfig",
          List.of(
              Map.of(
                  "name",
                  List.of(
                      Map.of("service", "promptd.v1.PromptService", "method", "GetPrompt"),
                      Map.of("service", "promptd.v1.PromptService", "method", "Compile")),
                  "retryPolicy",
                  Map.of(
                      "maxAttempts", 3.0,
                      "initialBackoff", "0.1s",
                      "maxBackoff", "1s",
                      "backoffMultiplier", 2.0,
                      "retryableStatusCodes", List.of("UNAVAILABLE")))));

  private Connection() {}

  /** For TLS hand TlsChannelCredentials.create() over in place of InsecureChannelCredentials. */
  static ManagedChannel open(String address) {
    return Grpc.newChannelBuilder(address, InsecureChannelCredentials.create())
        .defaultServiceConfig(RETRIES)
        .intercept(headers())
        .build();
  }

  /** What goes with every call. */
  private static ClientInterceptor headers() {
    Metadata headers = new Metadata();
    String key = System.getenv("PROMPTD_API_KEY");
    if (key != null) headers.put(header("authorization"), "Bearer " + key);
    return MetadataUtils.newAttachHeadersInterceptor(headers);
  }

  static Metadata.Key<String> header(String name) {
    return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
  }
}

package example;

import static java.util.concurrent.TimeUnit.SECONDS;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Struct;
import com.google.protobuf.Value;
import com.google.rpc.BadRequest;
import com.promptd.v1.BatchItem;
import com.promptd.v1.ChatMessage;
import com.promptd.v1.ChatMessages;
import com.promptd.v1.ChatTemplate;
import com.promptd.v1.ChatTemplateItem;
import com.promptd.v1.CompileRequest;
import com.promptd.v1.CreateVersionRequest;
import com.promptd.v1.GetPromptRequest;
import com.promptd.v1.LabelMove;
import com.promptd.v1.Placeholder;
import com.promptd.v1.PromptServiceGrpc;
import com.promptd.v1.PromptServiceGrpc.PromptServiceBlockingStub;
import com.promptd.v1.Resolution;
import com.promptd.v1.SetLabelsRequest;
import com.promptd.v1.WatchPromptsRequest;
import com.promptd.v1.WatchPromptsResponse;
import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.MetadataUtils;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Calls promptd in every way that a backend needs, and prints one line of JSON for each step. */
public final class Main {
  private static final String NAME = "examples/java";
  private static final Gson GSON = new GsonBuilder().disableHtmlEscaping().create();

  private Main() {}

  public static void main(String[] args) throws Exception {
    String address = Optional.ofNullable(System.getenv("PROMPTD_ADDRESS")).orElse("127.0.0.1:50051");
    ManagedChannel channel = Connection.open(address);
    try {
      PromptServiceBlockingStub prompts = PromptServiceGrpc.newBlockingStub(channel);
      List<Integer> versions = create(prompts);
      say("create", Map.of("versions", versions));
      get(prompts);
      compile(prompts);
      watch(prompts, versions.get(1));
      trace(prompts);
      notFound(prompts);
      invalidArgument(prompts);
    } finally {
      close(channel);
    }
    unavailable();
  }

  /** Adds two versions; production points at the first. */
  private static List<Integer> create(PromptServiceBlockingStub prompts) {
    CreateVersionRequest first =
        version("You help people who use {{product}}.").addLabels("production").build();
    CreateVersionRequest second =
        version("You help people who use {{product}}, in one sentence.").build();
    return List.of(
        prompts.withDeadlineAfter(5, SECONDS).createVersion(first).getVersion(),
        prompts.withDeadlineAfter(5, SECONDS).createVersion(second).getVersion());
  }

  private static CreateVersionRequest.Builder version(String system) {
    return CreateVersionRequest.newBuilder()
        .setName(NAME)
        .setChat(
            ChatTemplate.newBuilder()
                .addItems(ChatTemplateItem.newBuilder().setMessage(message("system", system)))
                .addItems(
                    ChatTemplateItem.newBuilder()
                        .setPlaceholder(Placeholder.newBuilder().setName("history")))
                .addItems(
                    ChatTemplateItem.newBuilder().setMessage(message("user", "{{question}}"))))
        .setCommitMessage("an example");
  }

  private static ChatMessage message(String role, String content) {
    return ChatMessage.newBuilder().setRole(role).setContent(content).build();
  }

  /** Asks for what production says for this user. */
  private static void get(PromptServiceBlockingStub prompts) {
    GetPromptRequest request =
        GetPromptRequest.newBuilder().setName(NAME).setUserId("user-42").build();
    Resolution resolution =
        prompts.withDeadlineAfter(1, SECONDS).getPrompt(request).getResolution();
    say(
        "get",
        Map.of(
            "version", resolution.getVersion(),
            "label", resolution.getLabel(),
            "reason", resolution.getReason().name(),
            "content_hash", resolution.getContentHash()));
  }

  /** Has the template filled in: variables are text, placeholders are messages. */
  private static void compile(PromptServiceBlockingStub prompts) {
    CompileRequest request =
        CompileRequest.newBuilder()
            .setName(NAME)
            .setUserId("user-42")
            .setVariables(
                Struct.newBuilder()
                    .putFields("product", text("Acme"))
                    .putFields("question", text("Where is my order?")))
            .putPlaceholders(
                "history",
                ChatMessages.newBuilder()
                    .addMessages(message("user", "Hello"))
                    .addMessages(message("assistant", "How can I help?"))
                    .build())
            .build();
    List<Map<String, String>> messages =
        prompts.withDeadlineAfter(1, SECONDS).compile(request).getChat().getMessagesList().stream()
            .map(message -> Map.of("role", message.getRole(), "content", message.getContent()))
            .toList();
    say("compile", Map.of("messages", messages));
  }

  private static Value text(String value) {
    return Value.newBuilder().setStringValue(value).build();
  }

  /** Ends the stream, which nobody reads any more, by its context. */
  private static void watch(PromptServiceBlockingStub prompts, int version) {
    try (Context.CancellableContext watching = Context.current().withCancellation()) {
      watching.run(() -> moveAndUndo(prompts, version));
    }
  }

  /** Is told of production while it moves to a version and back. */
  private static void moveAndUndo(PromptServiceBlockingStub prompts, int version) {
    Iterator<WatchPromptsResponse> stream =
        prompts
            .withDeadlineAfter(30, SECONDS)
            .watchPrompts(
                WatchPromptsRequest.newBuilder()
                    .addPrompts(GetPromptRequest.newBuilder().setName(NAME))
                    .build());
    sayNext(stream);

    SetLabelsRequest move =
        SetLabelsRequest.newBuilder()
            .setName(NAME)
            .addMoves(LabelMove.newBuilder().setLabel("production").setVersion(version))
            .setReason("one sentence is enough")
            .build();
    List<LabelMove> previous =
        prompts.withDeadlineAfter(5, SECONDS).setLabels(move).getPreviousList();
    say("label", Map.of("previous", previous.stream().map(Main::labelMove).toList()));
    sayNext(stream);

    // What it was before, sent back, undoes it.
    SetLabelsRequest undo =
        SetLabelsRequest.newBuilder()
            .setName(NAME)
            .addAllMoves(previous)
            .setReason("it was not")
            .build();
    prompts.withDeadlineAfter(5, SECONDS).setLabels(undo);
    say("undo", Map.of());
    sayNext(stream);
  }

  private static Map<String, Object> labelMove(LabelMove move) {
    return Map.of("label", move.getLabel(), "version", move.getVersion());
  }

  /** Prints the next snapshot or update. A heartbeat only says that the stream is alive. */
  private static void sayNext(Iterator<WatchPromptsResponse> stream) {
    while (stream.hasNext()) {
      WatchPromptsResponse response = stream.next();
      if (response.hasSnapshot()) {
        say("watch", event("snapshot", response.getSnapshot().getItems(0)));
        return;
      }
      if (response.hasUpdate()) {
        say("watch", event("update", response.getUpdate().getItems(0).getItem()));
        return;
      }
    }
    throw new IllegalStateException("the stream has ended");
  }

  private static Map<String, Object> event(String event, BatchItem item) {
    return Map.of("event", event, "version", item.getResponse().getResolution().getVersion());
  }

  /**
   * Goes on with a trace, as OpenTelemetry's instrumentation of gRPC does by itself. The attributes
   * belong on the span of the model call.
   */
  private static void trace(PromptServiceBlockingStub prompts) {
    String traceId = random(16);
    Metadata headers = new Metadata();
    headers.put(Connection.header("traceparent"), "00-" + traceId + "-" + random(8) + "-01");
    Resolution resolution =
        prompts
            .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers))
            .withDeadlineAfter(1, SECONDS)
            .getPrompt(GetPromptRequest.newBuilder().setName(NAME).build())
            .getResolution();
    say(
        "trace",
        Map.of("trace_id", traceId, "trace_attributes", resolution.getTraceAttributesMap()));
  }

  private static String random(int bytes) {
    byte[] id = new byte[bytes];
    new SecureRandom().nextBytes(id);
    return HexFormat.of().formatHex(id);
  }

  /** Asks for a label that is not there; the message tells what is. */
  private static void notFound(PromptServiceBlockingStub prompts) {
    try {
      GetPromptRequest request =
          GetPromptRequest.newBuilder().setName(NAME).setLabel("nowhere").build();
      prompts.withDeadlineAfter(1, SECONDS).getPrompt(request);
    } catch (StatusRuntimeException error) {
      Status status = error.getStatus();
      if (status.getCode() != Status.Code.NOT_FOUND) throw error;
      say(
          "not_found",
          Map.of("code", status.getCode().name(), "message", status.getDescription()));
    }
  }

  /** Leaves the variables out; the details name the fields. */
  private static void invalidArgument(PromptServiceBlockingStub prompts)
      throws InvalidProtocolBufferException {
    try {
      prompts
          .withDeadlineAfter(1, SECONDS)
          .compile(CompileRequest.newBuilder().setName(NAME).build());
    } catch (StatusRuntimeException error) {
      Status status = error.getStatus();
      if (status.getCode() != Status.Code.INVALID_ARGUMENT) throw error;
      say(
          "invalid_argument",
          Map.of(
              "code", status.getCode().name(),
              "message", status.getDescription(),
              "violations", violations(error)));
    }
  }

  private static List<Map<String, String>> violations(StatusRuntimeException error)
      throws InvalidProtocolBufferException {
    List<Map<String, String>> violations = new ArrayList<>();
    for (Any detail : StatusProto.fromThrowable(error).getDetailsList()) {
      if (!detail.is(BadRequest.class)) continue;
      for (var violation : detail.unpack(BadRequest.class).getFieldViolationsList()) {
        violations.add(
            Map.of("field", violation.getField(), "description", violation.getDescription()));
      }
    }
    return violations;
  }

  /** Goes on with a text of its own where no promptd listens. */
  private static void unavailable() throws InterruptedException {
    ManagedChannel channel = Connection.open("127.0.0.1:1");
    String code = "OK";
    String text;
    try {
      GetPromptRequest request = GetPromptRequest.newBuilder().setName(NAME).build();
      text =
          PromptServiceGrpc.newBlockingStub(channel)
              .withDeadlineAfter(2, SECONDS)
              .getPrompt(request)
              .getPrompt()
              .getText();
    } catch (StatusRuntimeException error) {
      code = error.getStatus().getCode().name();
      text =
          switch (error.getStatus().getCode()) {
            case UNAVAILABLE, DEADLINE_EXCEEDED -> "You help people.";
            default -> throw error;
          };
    } finally {
      close(channel);
    }
    say("unavailable", Map.of("code", code, "text", text));
  }

  private static void close(ManagedChannel channel) throws InterruptedException {
    channel.shutdownNow().awaitTermination(5, SECONDS);
  }

  private static void say(String step, Map<String, ?> said) {
    Map<String, Object> line = new LinkedHashMap<>();
    line.put("step", step);
    line.putAll(said);
    System.out.println(GSON.toJson(line));
  }
}

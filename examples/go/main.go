// Calls promptd in every way that a backend needs, and prints one line of JSON for each step.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	promptdv1 "promptd.example/client/gen/promptd/v1"
)

//go:generate buf generate

const name = "examples/go"

func main() {
	log.SetFlags(0)
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	address, ok := os.LookupEnv("PROMPTD_ADDRESS")
	if !ok {
		address = "127.0.0.1:50051"
	}
	conn, err := dial(address, os.Getenv("PROMPTD_API_KEY"))
	if err != nil {
		return err
	}
	defer conn.Close()
	prompts := promptdv1.NewPromptServiceClient(conn)

	// Of the whole program; a single answer is given one second.
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	first, second, err := create(ctx, prompts)
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	print("create", values{"versions": []uint32{first, second}})
	if err := get(ctx, prompts); err != nil {
		return fmt.Errorf("get: %w", err)
	}
	if err := compile(ctx, prompts); err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	if err := watch(ctx, prompts, second); err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	if err := trace(ctx, prompts); err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	notFound(ctx, prompts)
	invalidArgument(ctx, prompts)
	return unavailable(ctx)
}

// create adds two versions; production points at the first.
func create(ctx context.Context, prompts promptdv1.PromptServiceClient) (first, second uint32, err error) {
	one, err := prompts.CreateVersion(ctx, version("You help people who use {{product}}.", "production"))
	if err != nil {
		return 0, 0, err
	}
	two, err := prompts.CreateVersion(ctx, version("You help people who use {{product}}, in one sentence."))
	if err != nil {
		return 0, 0, err
	}
	return one.GetVersion(), two.GetVersion(), nil
}

func version(system string, labels ...string) *promptdv1.CreateVersionRequest {
	return &promptdv1.CreateVersionRequest{
		Name: name,
		Template: &promptdv1.CreateVersionRequest_Chat{Chat: &promptdv1.ChatTemplate{Items: []*promptdv1.ChatTemplateItem{
			item("system", system),
			{Item: &promptdv1.ChatTemplateItem_Placeholder{Placeholder: &promptdv1.Placeholder{Name: "history"}}},
			item("user", "{{question}}"),
		}}},
		Labels:        labels,
		CommitMessage: "an example",
	}
}

func item(role, content string) *promptdv1.ChatTemplateItem {
	return &promptdv1.ChatTemplateItem{Item: &promptdv1.ChatTemplateItem_Message{Message: message(role, content)}}
}

func message(role, content string) *promptdv1.ChatMessage {
	return &promptdv1.ChatMessage{Role: role, Content: content}
}

// get asks for what production says for this user.
func get(ctx context.Context, prompts promptdv1.PromptServiceClient) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	answer, err := prompts.GetPrompt(ctx, &promptdv1.GetPromptRequest{Name: name, UserId: "user-42"})
	if err != nil {
		return err
	}
	resolution := answer.GetResolution()
	print("get", values{
		"version":      resolution.GetVersion(),
		"label":        resolution.GetLabel(),
		"reason":       resolution.GetReason().String(),
		"content_hash": resolution.GetContentHash(),
	})
	return nil
}

// compile has the template filled in: variables are text, placeholders are messages.
func compile(ctx context.Context, prompts promptdv1.PromptServiceClient) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	variables, err := structpb.NewStruct(map[string]any{"product": "Acme", "question": "Where is my order?"})
	if err != nil {
		return err
	}
	answer, err := prompts.Compile(ctx, &promptdv1.CompileRequest{
		Name:      name,
		UserId:    "user-42",
		Variables: variables,
		Placeholders: map[string]*promptdv1.ChatMessages{"history": {Messages: []*promptdv1.ChatMessage{
			message("user", "Hello"),
			message("assistant", "How can I help?"),
		}}},
	})
	if err != nil {
		return err
	}
	var messages []values
	for _, m := range answer.GetChat().GetMessages() {
		messages = append(messages, values{"role": m.GetRole(), "content": m.GetContent()})
	}
	print("compile", values{"messages": messages})
	return nil
}

// watch is told of production while it moves to a version and back.
func watch(ctx context.Context, prompts promptdv1.PromptServiceClient, version uint32) error {
	stream, err := prompts.WatchPrompts(ctx, &promptdv1.WatchPromptsRequest{
		Prompts: []*promptdv1.GetPromptRequest{{Name: name}},
	})
	if err != nil {
		return err
	}
	if err := next(stream); err != nil {
		return err
	}

	moved, err := prompts.SetLabels(ctx, &promptdv1.SetLabelsRequest{
		Name:   name,
		Moves:  []*promptdv1.LabelMove{{Label: "production", Version: version}},
		Reason: "one sentence is enough",
	})
	if err != nil {
		return err
	}
	var previous []values
	for _, move := range moved.GetPrevious() {
		previous = append(previous, values{"label": move.GetLabel(), "version": move.GetVersion()})
	}
	print("label", values{"previous": previous})
	if err := next(stream); err != nil {
		return err
	}

	// What it was before, sent back, undoes it.
	_, err = prompts.SetLabels(ctx, &promptdv1.SetLabelsRequest{
		Name:   name,
		Moves:  moved.GetPrevious(),
		Reason: "it was not",
	})
	if err != nil {
		return err
	}
	print("undo", values{})
	return next(stream)
}

// next prints the next snapshot or update. A heartbeat only says that the stream is alive.
func next(stream grpc.ServerStreamingClient[promptdv1.WatchPromptsResponse]) error {
	for {
		response, err := stream.Recv()
		if err != nil {
			return err
		}
		for _, item := range response.GetSnapshot().GetItems() {
			print("watch", values{"event": "snapshot", "version": versionOf(item)})
			return nil
		}
		for _, changed := range response.GetUpdate().GetItems() {
			print("watch", values{"event": "update", "version": versionOf(changed.GetItem())})
			return nil
		}
	}
}

func versionOf(item *promptdv1.BatchItem) uint32 {
	return item.GetResponse().GetResolution().GetVersion()
}

// trace goes on with a trace, as OpenTelemetry's instrumentation of gRPC does by itself. The
// attributes belong on the span of the model call.
func trace(ctx context.Context, prompts promptdv1.PromptServiceClient) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	traceID, spanID := random(16), random(8)
	ctx = metadata.AppendToOutgoingContext(ctx, "traceparent", "00-"+traceID+"-"+spanID+"-01")
	answer, err := prompts.GetPrompt(ctx, &promptdv1.GetPromptRequest{Name: name})
	if err != nil {
		return err
	}
	print("trace", values{
		"trace_id":         traceID,
		"trace_attributes": answer.GetResolution().GetTraceAttributes(),
	})
	return nil
}

func random(bytes int) string {
	id := make([]byte, bytes)
	_, _ = rand.Read(id) // It never fails.
	return hex.EncodeToString(id)
}

// notFound asks for a label that is not there; the message tells what is.
func notFound(ctx context.Context, prompts promptdv1.PromptServiceClient) {
	_, err := prompts.GetPrompt(ctx, &promptdv1.GetPromptRequest{
		Name:     name,
		Selector: &promptdv1.GetPromptRequest_Label{Label: "nowhere"},
	})
	refused := status.Convert(err)
	print("not_found", values{"code": refused.Code().String(), "message": refused.Message()})
}

// invalidArgument leaves the variables out; the details name the fields.
func invalidArgument(ctx context.Context, prompts promptdv1.PromptServiceClient) {
	_, err := prompts.Compile(ctx, &promptdv1.CompileRequest{Name: name})
	refused := status.Convert(err)
	var violations []values
	for _, detail := range refused.Details() {
		if bad, ok := detail.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				violations = append(violations, values{"field": v.GetField(), "description": v.GetDescription()})
			}
		}
	}
	print("invalid_argument", values{
		"code":       refused.Code().String(),
		"message":    refused.Message(),
		"violations": violations,
	})
}

// unavailable goes on with a text of its own where no promptd listens.
func unavailable(ctx context.Context) error {
	conn, err := dial("127.0.0.1:1", "")
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	answer, err := promptdv1.NewPromptServiceClient(conn).GetPrompt(ctx, &promptdv1.GetPromptRequest{Name: name})
	text := answer.GetPrompt().GetText()
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded:
		text = "You help people."
	}
	print("unavailable", values{"code": status.Code(err).String(), "text": text})
	return nil
}

type values map[string]any

func print(step string, said values) {
	said["step"] = step
	line, err := json.Marshal(said)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(line))
}

package main

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// Reads are tried again while promptd cannot be reached. Mutations are not: a SetLabels that arrived
// and is sent again would answer with a `previous` that undoes nothing.
const retries = `{"methodConfig": [{
	"name": [
		{"service": "promptd.v1.PromptService", "method": "GetPrompt"},
		{"service": "promptd.v1.PromptService", "method": "Compile"}
	],
	"retryPolicy": {
		"maxAttempts": 3,
		"initialBackoff": "0.1s",
		"maxBackoff": "1s",
		"backoffMultiplier": 2,
		"retryableStatusCodes": ["UNAVAILABLE"]
	}
}]}`

// dial makes the one connection that a process needs. For TLS hand credentials.NewTLS(nil) over in
// place of insecure.NewCredentials().
func dial(address, key string) (*grpc.ClientConn, error) {
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(retries),
	}
	if key != "" {
		options = append(options, grpc.WithPerRPCCredentials(apiKey(key)))
	}
	return grpc.NewClient(address, options...)
}

// apiKey goes with every call.
type apiKey string

func (key apiKey) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(key)}, nil
}

// RequireTransportSecurity is true where promptd speaks TLS, so that a key is never sent without.
func (apiKey) RequireTransportSecurity() bool { return false }

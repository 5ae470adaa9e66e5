// Checks bucketing flagd-v2 against the vectors: go run main.go ../vectors.json
package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/bits"
	"os"
)

// murmur3 is MurmurHash3_x86_32 with seed 0. A Go string is UTF-8 already.
func murmur3(text string) (hash uint32) {
	for start := 0; start < len(text); start += 4 {
		var block [4]byte
		read := copy(block[:], text[start:])
		hash ^= bits.RotateLeft32(binary.LittleEndian.Uint32(block[:])*0xcc9e2d51, 15) * 0x1b873593
		if read == 4 {
			hash = bits.RotateLeft32(hash, 13)*5 + 0xe6546b64
		}
	}
	hash ^= uint32(len(text))
	hash = (hash ^ hash>>16) * 0x85ebca6b
	hash = (hash ^ hash>>13) * 0xc2b2ae35
	return hash ^ hash>>16
}

func bucket(hash uint32) uint32 { return uint32(uint64(hash) * 10000 >> 32) }

func main() {
	var file struct {
		Vectors []struct {
			Salt         string
			UserID       string `json:"user_id"`
			Hash, Bucket uint32
		}
	}
	text, err := os.ReadFile(os.Args[1])
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	passed := 0
	for _, vector := range file.Vectors {
		hash := murmur3(vector.Salt + vector.UserID)
		if hash == vector.Hash && bucket(hash) == vector.Bucket {
			passed++
		} else {
			fmt.Fprintf(os.Stderr, "%+v: found hash %d, bucket %d\n", vector, hash, bucket(hash))
		}
	}
	fmt.Printf("%d of %d vectors passed\n", passed, len(file.Vectors))
	if passed != len(file.Vectors) || passed == 0 {
		os.Exit(1)
	}
}

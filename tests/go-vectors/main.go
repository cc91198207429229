// Command lws-go-vectors writes what the Rust encoder of revision data is built from and tested
// against: the table of Go types, and golden vectors made by the Kubernetes Go libraries.
//
// Run it in this directory, `go run .`; the output depends on the library versions in go.mod only.
package main

import (
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
)

const apiTypes = "../../crates/api-types"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	table := filepath.Join(apiTypes, "src/revision/core_v1.rs")
	if err := os.WriteFile(table, []byte(typeTable()), 0o644); err != nil {
		return err
	}
	format := exec.Command("rustfmt", "--edition", "2024", table)
	format.Stderr = os.Stderr
	if err := format.Run(); err != nil {
		return fmt.Errorf("rustfmt %s: %w", table, err)
	}
	for name, write := range map[string]func(*bytes.Buffer, *rand.Rand) error{
		"revisions.jsonl":   revisionVectors,
		"quantities.tsv":    quantityVectors,
		"quantity-sums.tsv": sumVectors,
	} {
		var out bytes.Buffer
		if err := write(&out, rand.New(rand.NewSource(1))); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(apiTypes, "testdata", name), out.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Command lws-go-vectors writes what the Rust encoder of revision data is built from and tested
// against: the table of Go types, and golden vectors made by the Kubernetes Go libraries.
//
// Run it in this directory, `go run .`; the output depends on the library versions in go.mod only.
// With `-check` it writes nothing and fails when a file differs from what it would write.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const apiTypes = "../../crates/api-types"

func main() {
	check := flag.Bool("check", false, "write nothing, fail when a file is out of date")
	flag.Parse()
	if err := run(*check); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(check bool) error {
	files, err := files()
	if err != nil {
		return err
	}
	for path, content := range files {
		if !check {
			if err := os.WriteFile(path, content, 0o644); err != nil {
				return err
			}
			continue
		}
		if found, err := os.ReadFile(path); err != nil || !bytes.Equal(found, content) {
			return fmt.Errorf("%s is out of date: run `make generate`", filepath.Clean(path))
		}
	}
	return nil
}

// files gives the content of every generated file by its path.
func files() (map[string][]byte, error) {
	table, err := formatted(typeTable())
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{filepath.Join(apiTypes, "src/revision/core_v1.rs"): table}
	for name, write := range map[string]func(*bytes.Buffer, *rand.Rand) error{
		"revisions.jsonl":   revisionVectors,
		"quantities.tsv":    quantityVectors,
		"quantity-sums.tsv": sumVectors,
	} {
		var out bytes.Buffer
		if err := write(&out, rand.New(rand.NewSource(1))); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files[filepath.Join(apiTypes, "testdata", name)] = out.Bytes()
	}
	return files, nil
}

// formatted gives Rust source as rustfmt lays it out.
func formatted(source string) ([]byte, error) {
	format := exec.Command("rustfmt", "--edition", "2024")
	format.Stdin = strings.NewReader(source)
	format.Stderr = os.Stderr
	out, err := format.Output()
	if err != nil {
		return nil, fmt.Errorf("rustfmt: %w", err)
	}
	return out, nil
}

package shared

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// Target is one line of stdin: which agent, and how to speak with it.
type Target struct {
	Base    string   `json:"base"`
	Binding string   `json:"binding"`
	Dialect string   `json:"dialect"`
	Only    []string `json:"only"`
	Seconds float64  `json:"seconds"`
	// Extensions is what a peer shall ask for on every call.
	Extensions []string `json:"-"`
}

type outcome struct {
	Operation string `json:"operation"`
	Result    string `json:"result"`
	Why       string `json:"why"`
}

// ServeTargets runs the operations against each target of `in`, with a peer of its own for each, and prints what came of it.
func ServeTargets(in io.Reader, open func(context.Context, Target) (Peer, error)) error {
	print := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		target := Target{Seconds: 15}
		if err := json.Unmarshal(lines.Bytes(), &target); err != nil {
			return fmt.Errorf("target %q: %w", lines.Text(), err)
		}
		for _, operation := range operations {
			if target.wants(operation.name) {
				result, why := attempt(operation, target, open)
				print.Encode(outcome{operation.name, result, why})
			}
		}
		print.Encode(map[string]bool{"done": true})
	}
	return lines.Err()
}

// wants: `only` names whole operations or their first words, so `SendMessage` stands for `SendMessage/echo` and its like.
func (t Target) wants(name string) bool {
	if name == "ListTasks" && t.Dialect == "0.3" {
		return false
	}
	return len(t.Only) == 0 || slices.ContainsFunc(t.Only, func(prefix string) bool {
		return name == prefix || strings.HasPrefix(name, prefix+"/")
	})
}

func attempt(operation operation, target Target, open func(context.Context, Target) (Peer, error)) (result, why string) {
	if operation.name == "Extensions" {
		target.Extensions = []string{ExtensionURI}
	}
	limit := time.Duration(target.Seconds * float64(time.Second))
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer func() {
			if reason := recover(); reason != nil {
				done <- fmt.Errorf("panic: %v", reason)
			}
		}()
		peer, err := open(ctx, target)
		if err == nil {
			defer peer.Close()
			err = operation.run(ctx, peer, target)
		}
		done <- err
	}()
	select {
	case err := <-done:
		return judge(err)
	case <-time.After(limit + time.Second): // for an SDK that does not heed the context
		return "fail", fmt.Sprintf("hung for more than %v", limit)
	}
}

func judge(err error) (result, why string) {
	var unsupported Unsupported
	switch {
	case err == nil:
		return "pass", ""
	case errors.As(err, &unsupported):
		return "unsupported", unsupported.Error()
	default:
		why := []rune(strings.Join(strings.Fields(err.Error()), " "))
		return "fail", string(why[:min(len(why), 1500)])
	}
}

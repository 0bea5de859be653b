package shared

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

const (
	pause    = 150 * time.Millisecond
	patience = 30 * time.Second
)

// Result is what the artifact of every `task` holds.
var Result = []Part{
	Text("done ü"),
	{"data": map[string]any{"n": 1, "f": 1.5, "big": 9007199254740991, "s": "ü", "list": []any{1, nil, true}, "o": map[string]any{}}},
	Bytes([]byte{0x00, 0x01, 0xFE, 0xFF}, "a.bin", "application/octet-stream"),
	URI("https://example.org/x.png", "", "image/png"),
}

// Turn is one run of the SDK's executor: what was asked, and how.
type Turn struct {
	Message Message
	// Resumes is true when the message continues a task.
	Resumes bool
	// Header is what the SDK shows of a header of the request, nil where it was absent.
	Header func(name string) any
	// Extensions are those that the client asked for, Activate answers one.
	Extensions []string
	Activate   func(uri string)
	// Emit hands an event to the SDK; it fails when nobody wants more of them.
	Emit func(Event) error
}

// ErrStopped is what Emit returns when the SDK wants no more events.
var ErrStopped = errors.New("no more events wanted")

// Act does what the first word of the message says. An error but ErrStopped is for the SDK to make of what it will.
func (t *Turn) Act(ctx context.Context) error {
	if t.Resumes {
		return t.emit(task("working"), status("completed", ""))
	}
	word, _, _ := strings.Cut(t.text(), " ")
	switch word {
	case "task":
		whole := &Artifact{Name: "result", Parts: Result, Last: true}
		return t.emit(task("working"), Event{Artifact: whole}, status("completed", "finished"))
	case "stream":
		return t.stream(ctx)
	case "wait":
		// One event and no more: what a client does next must not race with another.
		if err := t.emit(Event{Task: &Task{Status: Status{State: "working", Text: "waiting"}}}); err != nil {
			return err
		}
		return t.slowly(ctx, patience, status("completed", ""))
	case "input":
		return t.emit(task("submitted"), status("input-required", "which one?"))
	case "fail":
		return t.emit(task("working"), status("failed", "broken"))
	case "raise":
		return errors.New("raised on purpose")
	case "headers":
		return t.headers()
	default:
		return t.emit(Event{Message: &t.Message})
	}
}

func (t *Turn) stream(ctx context.Context) error {
	if err := t.emit(task("submitted")); err != nil {
		return err
	}
	chunk := func(words string, more, last bool) Event {
		return Event{Artifact: &Artifact{Name: "chunks", Parts: []Part{Text(words)}, Append: more, Last: last}}
	}
	return t.slowly(ctx, pause,
		status("working", "step 1"),
		chunk("chunk 1", false, false),
		chunk("chunk 2", true, false),
		chunk("chunk 3", true, true),
		status("completed", ""))
}

func (t *Turn) headers() error {
	if slices.Contains(t.Extensions, ExtensionURI) {
		t.Activate(ExtensionURI)
	}
	asked := []any{} // an SDK may know no other list as data
	for _, uri := range t.Extensions {
		asked = append(asked, uri)
	}
	seen := map[string]any{"extensions": asked}
	for _, name := range []string{"authorization", "x-api-key", "traceparent"} {
		seen[name] = t.Header(name)
	}
	return t.emit(Event{Message: &Message{Parts: []Part{{"data": seen}}}})
}

// text is that of the first part of text.
func (t *Turn) text() string {
	for _, part := range t.Message.Parts {
		if words, ok := part["text"].(string); ok {
			return words
		}
	}
	return ""
}

func (t *Turn) emit(events ...Event) error {
	for _, event := range events {
		if err := t.Emit(event); err != nil {
			return err
		}
	}
	return nil
}

// slowly emits with a rest before each event; the SDK ends the context of a task that was cancelled.
func (t *Turn) slowly(ctx context.Context, rest time.Duration, events ...Event) error {
	for _, event := range events {
		select {
		case <-ctx.Done():
			return ErrStopped
		case <-time.After(rest):
		}
		if err := t.Emit(event); err != nil {
			return err
		}
	}
	return nil
}

func task(state string) Event { return Event{Task: &Task{Status: Status{State: state}}} }

func status(state, text string) Event { return Event{Status: &Status{State: state, Text: text}} }

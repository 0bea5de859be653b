package shared

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// What the operations are made of: sending for one kind of answer, and holding an answer against what is wanted.

func contains(list []any, wanted any) bool {
	for _, item := range list {
		if item == wanted {
			return true
		}
	}
	return false
}

func text(words string) Message { return Message{Parts: []Part{Text(words)}} }

func waiting(ctx context.Context, peer Peer) (Task, error) {
	message := text("wait")
	message.ReturnImmediately = true
	return sendForTask(ctx, peer, message)
}

func sendForTask(ctx context.Context, peer Peer, message Message) (Task, error) {
	answer, err := peer.Send(ctx, message)
	if err != nil {
		return Task{}, err
	}
	if answer.Task == nil {
		return Task{}, fmt.Errorf("no task, but %s", show(answer))
	}
	return *answer.Task, nil
}

func sendForMessage(ctx context.Context, peer Peer, message Message) (Message, error) {
	answer, err := peer.Send(ctx, message)
	if err != nil {
		return Message{}, err
	}
	if answer.Message == nil {
		return Message{}, fmt.Errorf("no message, but %s", show(answer))
	}
	return *answer.Message, nil
}

func sendForHeaders(ctx context.Context, peer Peer, message Message) (map[string]any, error) {
	answer, err := sendForMessage(ctx, peer, message)
	if err != nil {
		return nil, err
	}
	seen, _ := answer.Parts[0]["data"].(map[string]any)
	if seen["unsupported"] != nil {
		return nil, Unsupported("the agent's SDK shows its executor no headers")
	}
	return seen, nil
}

func finished(task Task) error {
	if task.ID == "" || task.ContextID == "" {
		return fmt.Errorf("empty ids: %s", show(task))
	}
	if err := equal("status", task.Status, Status{"completed", "finished"}); err != nil {
		return err
	}
	if len(task.Artifacts) != 1 || task.Artifacts[0].Name != "result" {
		return fmt.Errorf("not one artifact \"result\", but %s", show(task.Artifacts))
	}
	return equal("artifact parts", task.Artifacts[0].Parts, Result)
}

func refused(task Task, err, wanted error) error {
	switch {
	case err == nil:
		return fmt.Errorf("no error, but %s", show(task))
	case !errors.Is(err, wanted):
		return fmt.Errorf("not %q: %w", wanted, err)
	}
	return nil
}

// equal compares values as the JSON that they print: 1 is 1, whatever Go's type for it.
func equal(what string, got, wanted any) error {
	if g, w := show(got), show(wanted); g != w {
		return fmt.Errorf("%s: %s, not %s", what, g, w)
	}
	return nil
}

func show(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

package shared

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// operation is one thing that a client does with a fresh peer, and what must hold after it.
type operation struct {
	name string
	run  func(context.Context, Peer, Target) error
}

var operations = []operation{
	{"Card", card},
	{"SendMessage/echo", sendEcho},
	{"SendMessage/task", sendTask},
	{"SendMessage/input", sendInput},
	{"SendMessage/fail", sendFail},
	{"SendStreamingMessage", stream},
	{"SendStreamingMessage/echo", streamEcho},
	{"GetTask", getTask},
	{"ListTasks", listTasks},
	{"CancelTask", cancelTask},
	{"SubscribeToTask", subscribe},
	{"PushNotificationConfig", hooks},
	{"GetExtendedAgentCard", extendedCard},
	{"Errors/TaskNotFound", taskNotFound},
	{"Errors/NotCancelable", notCancelable},
	{"Headers", headers},
	{"Extensions", extensions},
}

// Unsupported says what an SDK lacks for an operation.
type Unsupported string

func (u Unsupported) Error() string { return string(u) }

var echo = Message{
	Parts: []Part{
		Text("echo ü€😀"),
		{"data": map[string]any{"n": 1, "f": 1.5, "big": 9007199254740991, "deep": map[string]any{"a": []any{1, []any{2, map[string]any{"b": nil}}}}}},
		Bytes([]byte{0x00, 0x01, 0xFE, 0xFF}, "b.bin", ""),
		URI("https://example.org/y.pdf", "", "application/pdf"),
	},
	Metadata: map[string]any{"k": "v", "n": 7},
}

func card(_ context.Context, peer Peer, lane Target) error {
	card := peer.Card()
	for _, i := range card.Interfaces {
		if i.Binding == lane.Binding && strings.HasPrefix(i.Dialect, lane.Dialect) {
			return equal("name", card.Name, "interop")
		}
	}
	return fmt.Errorf("no %s %s among %s", lane.Binding, lane.Dialect, show(card.Interfaces))
}

func sendEcho(ctx context.Context, peer Peer, _ Target) error {
	message, err := sendForMessage(ctx, peer, echo)
	if err != nil {
		return err
	}
	return errors.Join(equal("parts", message.Parts, echo.Parts), equal("metadata", message.Metadata, echo.Metadata))
}

func sendTask(ctx context.Context, peer Peer, _ Target) error {
	task, err := sendForTask(ctx, peer, text("task"))
	if err != nil {
		return err
	}
	return finished(task)
}

func sendInput(ctx context.Context, peer Peer, _ Target) error {
	asked, err := sendForTask(ctx, peer, text("input"))
	if err != nil {
		return err
	}
	if err := equal("status", asked.Status, Status{"input-required", "which one?"}); err != nil {
		return err
	}
	second := text("the first one")
	second.TaskID, second.ContextID = asked.ID, asked.ContextID
	answered, err := sendForTask(ctx, peer, second)
	if err != nil {
		return err
	}
	return equal("ids and state", []string{answered.ID, answered.ContextID, answered.Status.State},
		[]string{asked.ID, asked.ContextID, "completed"})
}

func sendFail(ctx context.Context, peer Peer, _ Target) error {
	task, err := sendForTask(ctx, peer, text("fail"))
	if err != nil {
		return err
	}
	return equal("status", task.Status, Status{"failed", "broken"})
}

func stream(ctx context.Context, peer Peer, _ Target) error {
	var events []Event
	var first, last time.Time
	for event, err := range peer.Stream(ctx, text("stream")) {
		if err != nil {
			return err
		}
		if last = time.Now(); len(events) == 0 {
			first = last
		}
		events = append(events, event)
	}
	var working, final []string
	var chunks []Artifact
	for _, event := range events {
		final = nil
		switch {
		case event.Status != nil && event.Status.State == "working":
			working = append(working, event.Status.Text)
		case event.Status != nil:
			final = []string{event.Status.State}
		case event.Artifact != nil:
			chunks = append(chunks, *event.Artifact)
		}
	}
	wanted := []Artifact{}
	for n := 1; n <= 3; n++ {
		parts := []Part{Text(fmt.Sprintf("chunk %d", n))}
		wanted = append(wanted, Artifact{Name: "chunks", Parts: parts, Append: n > 1, Last: n == 3})
	}
	if spread := last.Sub(first); spread < 300*time.Millisecond {
		return fmt.Errorf("%d events within %v", len(events), spread)
	}
	return errors.Join(equal("working", working, []string{"step 1"}), equal("chunks", withoutName(chunks), withoutName(wanted)),
		equal("last event", final, []string{"completed"}))
}

// withoutName is for updates: agents need not repeat the name.
func withoutName(updates []Artifact) []Artifact {
	for i := range updates {
		updates[i].Name = ""
	}
	return updates
}

func streamEcho(ctx context.Context, peer Peer, _ Target) error {
	var events []Event
	for event, err := range peer.Stream(ctx, text("echo once")) {
		if err != nil {
			return err
		}
		events = append(events, event)
	}
	if len(events) != 1 || events[0].Message == nil {
		return fmt.Errorf("not one message, but %s", show(events))
	}
	return equal("parts", events[0].Message.Parts, []Part{Text("echo once")})
}

func getTask(ctx context.Context, peer Peer, _ Target) error {
	made, err := sendForTask(ctx, peer, text("task"))
	if err != nil {
		return err
	}
	task, err := peer.Get(ctx, made.ID, nil)
	if err != nil {
		return err
	}
	if err := errors.Join(equal("id", task.ID, made.ID), finished(task)); err != nil {
		return err
	}
	one := 1
	if task, err = peer.Get(ctx, made.ID, &one); err != nil {
		return err
	}
	if task.History > 1 {
		return fmt.Errorf("%d history entries for historyLength 1", task.History)
	}
	return nil
}

func listTasks(ctx context.Context, peer Peer, _ Target) error {
	made, err := sendForTask(ctx, peer, text("task"))
	if err != nil {
		return err
	}
	tasks, err := peer.List(ctx, made.ContextID)
	if err != nil {
		return err
	}
	for _, task := range tasks {
		if task.ID == made.ID {
			return nil
		}
	}
	return fmt.Errorf("%s is not among %s", made.ID, show(tasks))
}

func cancelTask(ctx context.Context, peer Peer, _ Target) error {
	made, err := waiting(ctx, peer)
	if err != nil {
		return err
	}
	task, err := peer.Cancel(ctx, made.ID)
	if err != nil {
		return err
	}
	return equal("id and state", []string{task.ID, task.Status.State}, []string{made.ID, "canceled"})
}

func subscribe(ctx context.Context, peer Peer, _ Target) error {
	made, err := waiting(ctx, peer)
	if err != nil {
		return err
	}
	seen := make(chan struct{}, 1)
	canceled := make(chan error, 1)
	go func() { // elsewhere
		select {
		case <-seen:
		case <-time.After(time.Second): // a server need not send the current task
		}
		_, err := peer.Cancel(ctx, made.ID)
		canceled <- err
	}()
	state := ""
	for event, err := range peer.Subscribe(ctx, made.ID) {
		if err != nil {
			return err
		}
		if event.Task != nil {
			state = event.Task.Status.State
		} else if event.Status != nil {
			state = event.Status.State
		}
		select {
		case seen <- struct{}{}:
		default:
		}
	}
	return errors.Join(<-canceled, equal("last state", state, "canceled"))
}

func hooks(ctx context.Context, peer Peer, _ Target) error {
	task, err := waiting(ctx, peer)
	if err != nil {
		return err
	}
	defer peer.Cancel(ctx, task.ID) // tidying up: what is tested is over
	hook := Hook{ID: "hook-1", URL: "https://example.org/hook", Token: "t0k"}
	created, err := peer.CreateHook(ctx, task.ID, hook)
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	got, err := peer.GetHook(ctx, task.ID, hook.ID)
	if err != nil {
		return fmt.Errorf("get: %w", err)
	}
	listed, err := peer.ListHooks(ctx, task.ID)
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	if err := equal("created, got and listed", append(listed, created, got), []Hook{hook, hook, hook}); err != nil {
		return err
	}
	if err := peer.DeleteHook(ctx, task.ID, hook.ID); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	listed, err = peer.ListHooks(ctx, task.ID)
	if err == nil && len(listed) > 0 {
		err = fmt.Errorf("listed after delete: %s", show(listed))
	}
	return err
}

func extendedCard(ctx context.Context, peer Peer, _ Target) error {
	card, err := peer.ExtendedCard(ctx)
	if err != nil {
		return err
	}
	for _, skill := range card.Skills {
		if skill == "extended" {
			return equal("name", card.Name, "interop")
		}
	}
	return fmt.Errorf("no skill \"extended\" among %s", show(card.Skills))
}

func taskNotFound(ctx context.Context, peer Peer, _ Target) error {
	task, err := peer.Get(ctx, "no-such-task", nil)
	return refused(task, err, peer.NotFound())
}

func notCancelable(ctx context.Context, peer Peer, _ Target) error {
	made, err := sendForTask(ctx, peer, text("task"))
	if err != nil {
		return err
	}
	task, err := peer.Cancel(ctx, made.ID)
	return refused(task, err, peer.NotCancelable())
}

func headers(ctx context.Context, peer Peer, _ Target) error {
	const trace = "0af7651916cd43dd8448eb211c80319c"
	ask := text("headers")
	ask.Headers = map[string]string{
		"Authorization": "Bearer s3cret",
		"X-API-Key":     "k3y",
		"traceparent":   "00-" + trace + "-b7ad6b7169203331-01",
	}
	seen, err := sendForHeaders(ctx, peer, ask)
	if err != nil {
		return err
	}
	// Whoever stands between may name a new parent, but not another trace.
	parent, _ := seen["traceparent"].(string)
	return errors.Join(equal("authorization", seen["authorization"], "Bearer s3cret"), equal("x-api-key", seen["x-api-key"], "k3y"),
		equal("trace", strings.Contains(parent, "-"+trace+"-"), true))
}

// extensions relies on Target.Extensions: the peer of this operation was made to ask for it.
func extensions(ctx context.Context, peer Peer, _ Target) error {
	seen, err := sendForHeaders(ctx, peer, text("headers"))
	if err != nil {
		return err
	}
	if list, _ := seen["extensions"].([]any); !contains(list, ExtensionURI) {
		return fmt.Errorf("extensions: %s", show(seen["extensions"]))
	}
	return nil
}

// Package shared has what the peers of every Go SDK line have in common: what is asked, what is answered and what must
// hold, in words of its own, so that a line only has to put its SDK's types into these.
package shared

import (
	"context"
	"encoding/base64"
	"iter"
)

// ExtensionURI is the extension that a client may ask for and every agent knows.
const ExtensionURI = "urn:interop:ext"

// Part is one of {"text"}, {"data"}, {"bytes" (base64)} or {"uri"}; the last two with "name" and "type", and any with
// "metadata", where not empty. It is a map so that parts compare as the JSON that they print.
type Part map[string]any

// Text is a part of plain text.
func Text(words string) Part { return Part{"text": words} }

// Bytes is a part of the file itself.
func Bytes(bytes []byte, name, mediaType string) Part {
	return file(Part{"bytes": base64.StdEncoding.EncodeToString(bytes)}, name, mediaType)
}

// URI is a part that says where the file is.
func URI(uri, name, mediaType string) Part {
	return file(Part{"uri": uri}, name, mediaType)
}

func file(part Part, name, mediaType string) Part {
	if name != "" {
		part["name"] = name
	}
	if mediaType != "" {
		part["type"] = mediaType
	}
	return part
}

// String is the value of a key, or "".
func (p Part) String(key string) string {
	value, _ := p[key].(string)
	return value
}

// Raw is the file of a part of bytes.
func (p Part) Raw() []byte {
	raw, _ := base64.StdEncoding.DecodeString(p.String("bytes"))
	return raw
}

// With adds the part's own metadata, if there is any.
func (p Part) With(metadata map[string]any) Part {
	if len(metadata) > 0 {
		p["metadata"] = metadata
	}
	return p
}

// Message goes either way; what stands after Metadata matters only to a client that sends it.
type Message struct {
	Parts             []Part            `json:"parts"`
	Metadata          map[string]any    `json:"metadata"`
	TaskID            string            `json:"-"`
	ContextID         string            `json:"-"`
	ReturnImmediately bool              `json:"-"`
	Headers           map[string]string `json:"-"`
}

// Status is a state by its 0.3 name, and the text of its message.
type Status struct {
	State string `json:"state"`
	Text  string `json:"text"`
}

// Artifact is a whole artifact, or one update of it.
type Artifact struct {
	Name   string `json:"name"`
	Parts  []Part `json:"parts"`
	Append bool   `json:"append"`
	Last   bool   `json:"last"`
}

// Task as a client sees it; an agent says only its status.
type Task struct {
	ID        string     `json:"id"`
	ContextID string     `json:"contextId"`
	Status    Status     `json:"status"`
	Artifacts []Artifact `json:"artifacts"`
	History   int        `json:"history"`
}

// Event is exactly one of its fields: an answer, or a step of a stream.
type Event struct {
	Message  *Message  `json:"message,omitempty"`
	Task     *Task     `json:"task,omitempty"`
	Status   *Status   `json:"status,omitempty"`
	Artifact *Artifact `json:"artifact,omitempty"`
}

// Interface is one line of a card.
type Interface struct {
	Binding string `json:"binding"`
	Dialect string `json:"dialect"`
}

// Card is what is asked about a card.
type Card struct {
	Name       string
	Interfaces []Interface
	Skills     []string
}

// Hook is a push notification config.
type Hook struct {
	ID    string `json:"id"`
	URL   string `json:"url"`
	Token string `json:"token"`
}

// Peer is the SDK's client of one line.
type Peer interface {
	Card() Card
	ExtendedCard(context.Context) (Card, error)
	Send(context.Context, Message) (Event, error)
	Stream(context.Context, Message) iter.Seq2[Event, error]
	Subscribe(ctx context.Context, id string) iter.Seq2[Event, error]
	Get(ctx context.Context, id string, historyLength *int) (Task, error)
	List(ctx context.Context, contextID string) ([]Task, error)
	Cancel(ctx context.Context, id string) (Task, error)
	CreateHook(ctx context.Context, taskID string, hook Hook) (Hook, error)
	GetHook(ctx context.Context, taskID, id string) (Hook, error)
	ListHooks(ctx context.Context, taskID string) ([]Hook, error)
	DeleteHook(ctx context.Context, taskID, id string) error
	// NotFound and NotCancelable are the SDK's errors of these names.
	NotFound() error
	NotCancelable() error
	Close()
}

// Map puts an SDK's stream into events.
func Map[E any](stream iter.Seq2[E, error], from func(E) Event) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for event, err := range stream {
			if err != nil {
				yield(Event{}, err)
				return
			}
			if !yield(from(event), nil) {
				return
			}
		}
	}
}

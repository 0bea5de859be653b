package main

import (
	"encoding/base64"

	"github.com/a2aproject/a2a-go/a2a"

	"interop/shared"
)

// The shared words put into the types of `a2a-go` 0.3, and back. States have the same names in both.

func toParts(parts []shared.Part) []a2a.Part {
	list := make([]a2a.Part, len(parts))
	for i, part := range parts {
		list[i] = toPart(part)
	}
	return list
}

func toPart(part shared.Part) a2a.Part {
	metadata, _ := part["metadata"].(map[string]any)
	meta := a2a.FileMeta{Name: part.String("name"), MimeType: part.String("type")}
	switch {
	case part["text"] != nil:
		return a2a.TextPart{Text: part.String("text"), Metadata: metadata}
	case part["data"] != nil:
		data, _ := part["data"].(map[string]any) // 0.3 knows no other data
		return a2a.DataPart{Data: data, Metadata: metadata}
	case part["uri"] != nil:
		return a2a.FilePart{File: a2a.FileURI{FileMeta: meta, URI: part.String("uri")}, Metadata: metadata}
	default:
		return a2a.FilePart{File: a2a.FileBytes{FileMeta: meta, Bytes: part.String("bytes")}, Metadata: metadata}
	}
}

func fromParts(parts []a2a.Part) []shared.Part {
	list := make([]shared.Part, len(parts))
	for i, part := range parts {
		list[i] = fromPart(part).With(part.Meta())
	}
	return list
}

func fromPart(part a2a.Part) shared.Part {
	switch part := part.(type) {
	case a2a.TextPart:
		return shared.Text(part.Text)
	case a2a.DataPart:
		return shared.Part{"data": part.Data}
	case a2a.FilePart:
		return fromFile(part.File)
	default:
		return shared.Part{"nothing": true}
	}
}

func fromFile(file a2a.FilePartContent) shared.Part {
	switch file := file.(type) {
	case a2a.FileURI:
		return shared.URI(file.URI, file.Name, file.MimeType)
	case a2a.FileBytes:
		raw, err := base64.StdEncoding.DecodeString(file.Bytes)
		if err != nil {
			return shared.Part{"broken": file.Bytes}
		}
		return shared.Bytes(raw, file.Name, file.MimeType)
	default:
		return shared.Part{"nothing": true}
	}
}

func fromMessage(message *a2a.Message) *shared.Message {
	return &shared.Message{Parts: fromParts(message.Parts), Metadata: message.Metadata}
}

func fromStatus(status a2a.TaskStatus) shared.Status {
	made := shared.Status{State: string(status.State)}
	if status.Message != nil {
		for _, part := range fromParts(status.Message.Parts) {
			made.Text += part.String("text")
		}
	}
	return made
}

func fromArtifact(artifact *a2a.Artifact) shared.Artifact {
	return shared.Artifact{Name: artifact.Name, Parts: fromParts(artifact.Parts)}
}

func fromTask(task *a2a.Task) shared.Task {
	made := shared.Task{
		ID:        string(task.ID),
		ContextID: task.ContextID,
		Status:    fromStatus(task.Status),
		History:   len(task.History),
	}
	for _, artifact := range task.Artifacts {
		made.Artifacts = append(made.Artifacts, fromArtifact(artifact))
	}
	return made
}

func fromEvent(event a2a.Event) shared.Event {
	switch event := event.(type) {
	case *a2a.Message:
		return shared.Event{Message: fromMessage(event)}
	case *a2a.Task:
		task := fromTask(event)
		return shared.Event{Task: &task}
	case *a2a.TaskStatusUpdateEvent:
		status := fromStatus(event.Status)
		return shared.Event{Status: &status}
	case *a2a.TaskArtifactUpdateEvent:
		artifact := fromArtifact(event.Artifact)
		artifact.Append, artifact.Last = event.Append, event.LastChunk
		return shared.Event{Artifact: &artifact}
	default:
		return shared.Event{}
	}
}

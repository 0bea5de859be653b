package main

import (
	"strings"

	"github.com/a2aproject/a2a-go/v2/a2a"

	"interop/shared"
)

// The shared words put into the types of `a2a-go/v2`, and back.

const statePrefix = "TASK_STATE_"

func toState(name string) a2a.TaskState {
	return a2a.TaskState(statePrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_")))
}

func fromState(state a2a.TaskState) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(string(state), statePrefix), "_", "-"))
}

func toParts(parts []shared.Part) []*a2a.Part {
	list := make([]*a2a.Part, len(parts))
	for i, part := range parts {
		list[i] = toPart(part)
	}
	return list
}

func toPart(part shared.Part) *a2a.Part {
	var made *a2a.Part
	switch {
	case part["text"] != nil:
		made = a2a.NewTextPart(part.String("text"))
	case part["data"] != nil:
		made = a2a.NewDataPart(part["data"])
	case part["uri"] != nil:
		made = a2a.NewFileURLPart(a2a.URL(part.String("uri")), part.String("type"))
	default:
		made = a2a.NewRawPart(part.Raw())
	}
	made.Filename, made.MediaType = part.String("name"), part.String("type")
	made.Metadata, _ = part["metadata"].(map[string]any)
	return made
}

func fromParts(parts []*a2a.Part) []shared.Part {
	list := make([]shared.Part, len(parts))
	for i, part := range parts {
		list[i] = fromPart(part).With(part.Metadata)
	}
	return list
}

func fromPart(part *a2a.Part) shared.Part {
	switch content := part.Content.(type) {
	case a2a.Text:
		return shared.Text(string(content))
	case a2a.Raw:
		return shared.Bytes(content, part.Filename, part.MediaType)
	case a2a.URL:
		return shared.URI(string(content), part.Filename, part.MediaType)
	case a2a.Data:
		return shared.Part{"data": content.Value}
	default:
		return shared.Part{"nothing": true}
	}
}

func fromMessage(message *a2a.Message) *shared.Message {
	return &shared.Message{Parts: fromParts(message.Parts), Metadata: message.Metadata}
}

func fromStatus(status a2a.TaskStatus) shared.Status {
	made := shared.Status{State: fromState(status.State)}
	if status.Message != nil {
		for _, part := range status.Message.Parts {
			made.Text += part.Text()
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

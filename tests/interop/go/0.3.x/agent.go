package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/a2aproject/a2a-go/a2a"
	"github.com/a2aproject/a2a-go/a2asrv"
	"github.com/a2aproject/a2a-go/a2asrv/eventqueue"
	"github.com/a2aproject/a2a-go/a2asrv/push"

	"interop/shared"
)

var extension = a2a.AgentExtension{URI: shared.ExtensionURI, Description: "Does nothing"}

// serve runs the SDK's handler behind its JSON-RPC server, all in memory, until SIGTERM.
func serve() error {
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	url := "http://" + web.Addr().String()
	card := cardOf(url + "/invoke")
	extended := *card
	extended.Skills = append(card.Skills[:1:1], skill("extended"))
	handler := a2asrv.NewHandler(executor{},
		a2asrv.WithExtendedAgentCard(&extended),
		a2asrv.WithPushNotifications(push.NewInMemoryStore(), push.NewHTTPPushSender(nil)))

	routes := http.NewServeMux()
	routes.Handle(a2asrv.WellKnownAgentCardPath, a2asrv.NewStaticAgentCardHandler(card))
	routes.Handle("/invoke", a2asrv.NewJSONRPCHandler(handler))
	go http.Serve(web, routes)
	if err := json.NewEncoder(os.Stdout).Encode(map[string]any{"url": url, "grpc": nil}); err != nil {
		return err
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	<-ended
	return nil
}

type executor struct{}

func (executor) Execute(ctx context.Context, asked *a2asrv.RequestContext, queue eventqueue.Queue) error {
	turn := shared.Turn{
		Message:  *fromMessage(asked.Message),
		Resumes:  asked.StoredTask != nil,
		Header:   func(string) any { return nil },
		Activate: func(string) {},
		Emit:     func(event shared.Event) error { return queue.Write(ctx, toEvent(asked, event)) },
	}
	if call, ok := a2asrv.CallContextFrom(ctx); ok {
		turn.Header = func(name string) any { return header(call.RequestMeta(), name) }
		turn.Extensions = call.Extensions().RequestedURIs()
		turn.Activate = func(string) { call.Extensions().Activate(&extension) }
	}
	if err := turn.Act(ctx); !errors.Is(err, shared.ErrStopped) {
		return err
	}
	return nil
}

func (executor) Cancel(ctx context.Context, asked *a2asrv.RequestContext, queue eventqueue.Queue) error {
	return queue.Write(ctx, toEvent(asked, shared.Event{Status: &shared.Status{State: "canceled"}}))
}

func header(meta *a2asrv.RequestMeta, name string) any {
	if values, ok := meta.Get(name); ok && len(values) > 0 {
		return values[0]
	}
	return nil
}

func toEvent(asked *a2asrv.RequestContext, event shared.Event) a2a.Event {
	switch {
	case event.Message != nil:
		message := a2a.NewMessage(a2a.MessageRoleAgent, toParts(event.Message.Parts)...)
		message.ContextID, message.Metadata = asked.ContextID, event.Message.Metadata
		return message
	case event.Task != nil:
		task := asked.StoredTask
		if task == nil {
			task = a2a.NewSubmittedTask(asked, asked.Message)
		}
		task.Status = a2a.TaskStatus{State: a2a.TaskState(event.Task.Status.State), Message: said(asked, event.Task.Status.Text)}
		return task
	case event.Status != nil:
		update := a2a.NewStatusUpdateEvent(asked, a2a.TaskState(event.Status.State), said(asked, event.Status.Text))
		update.Final = event.Status.State != "working" // any other is the last that this interaction shows
		return update
	default:
		update := a2a.NewArtifactUpdateEvent(asked, "artifact-1", toParts(event.Artifact.Parts)...)
		update.Artifact.Name, update.Append, update.LastChunk = event.Artifact.Name, event.Artifact.Append, event.Artifact.Last
		return update
	}
}

// said is the agent's message of a status, if there is any.
func said(asked *a2asrv.RequestContext, words string) *a2a.Message {
	if words == "" {
		return nil
	}
	return a2a.NewMessageForTask(a2a.MessageRoleAgent, asked, a2a.TextPart{Text: words})
}

func cardOf(url string) *a2a.AgentCard {
	return &a2a.AgentCard{
		Name:                 "interop",
		Description:          "The Go agent of the interop tests",
		Version:              "1.0.0",
		ProtocolVersion:      "0.3.0",
		URL:                  url,
		PreferredTransport:   a2a.TransportProtocolJSONRPC,
		AdditionalInterfaces: []a2a.AgentInterface{{Transport: a2a.TransportProtocolJSONRPC, URL: url}},
		DefaultInputModes:    []string{"text/plain"},
		DefaultOutputModes:   []string{"text/plain"},
		Skills:               []a2a.AgentSkill{skill("talk")},
		Capabilities: a2a.AgentCapabilities{
			Streaming:         true,
			PushNotifications: true,
			Extensions:        []a2a.AgentExtension{extension},
		},
		SupportsAuthenticatedExtendedCard: true,
	}
}

func skill(id string) a2a.AgentSkill {
	return a2a.AgentSkill{ID: id, Name: id, Description: id, Tags: []string{"interop"}}
}

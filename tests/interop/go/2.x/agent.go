package main

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2acompat/a2av0"
	"github.com/a2aproject/a2a-go/v2/a2agrpc/v1"
	"github.com/a2aproject/a2a-go/v2/a2asrv"
	"github.com/a2aproject/a2a-go/v2/a2asrv/push"
	"google.golang.org/grpc"

	"interop/shared"
)

var extension = a2a.AgentExtension{URI: shared.ExtensionURI, Description: "Does nothing"}

// serve runs the SDK's handler behind its servers of one dialect, all in memory, until SIGTERM.
func serve(dialect string) error {
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	url := "http://" + web.Addr().String()
	card := cardOf(dialect, map[a2a.TransportProtocol]string{
		a2a.TransportProtocolJSONRPC:  url + "/invoke",
		a2a.TransportProtocolHTTPJSON: url + "/rest",
	})
	extended := *card
	extended.Skills = append(card.Skills[:1:1], skill("extended"))
	options := []a2asrv.RequestHandlerOption{
		a2asrv.WithCallInterceptors(everybody{}),
		a2asrv.WithExtendedAgentCard(&extended),
		a2asrv.WithPushNotifications(push.NewInMemoryStore(), push.NewHTTPPushSender(nil)),
	}
	handler := a2asrv.NewHandler(executor{}, options...)

	routes := http.NewServeMux()
	announced := map[string]any{"url": url, "grpc": nil}
	if dialect == "0.3" {
		routes.Handle(a2asrv.WellKnownAgentCardPath, a2asrv.NewAgentCardHandler(a2av0.NewStaticAgentCardProducer(card)))
		routes.Handle("/invoke", a2av0.NewJSONRPCHandler(handler))
		routes.Handle("/rest/", http.StripPrefix("/rest", a2av0.NewRESTHandler(handler)))
	} else {
		rpc, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		announced["grpc"] = rpc.Addr().String()
		card.SupportedInterfaces = append(card.SupportedInterfaces, a2a.NewAgentInterface(rpc.Addr().String(), a2a.TransportProtocolGRPC))
		extended.SupportedInterfaces = card.SupportedInterfaces
		server := grpc.NewServer()
		a2agrpc.NewHandler(handler).RegisterWith(server)
		go server.Serve(rpc)
		routes.Handle(a2asrv.WellKnownAgentCardPath, a2asrv.NewStaticAgentCardHandler(card))
		routes.Handle("/invoke", a2asrv.NewJSONRPCHandler(handler))
		routes.Handle("/rest/", http.StripPrefix("/rest", a2asrv.NewRESTHandler(handler)))
	}
	go http.Serve(web, routes)
	if err := json.NewEncoder(os.Stdout).Encode(announced); err != nil {
		return err
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	<-ended
	return nil
}

// everybody gives every caller one name: the SDK's own store lists tasks for named users only.
type everybody struct {
	a2asrv.PassthroughCallInterceptor
}

func (everybody) Before(ctx context.Context, call *a2asrv.CallContext, _ *a2asrv.Request) (context.Context, any, error) {
	call.User = a2asrv.NewAuthenticatedUser("everybody", nil)
	return ctx, nil, nil
}

type executor struct{}

func (executor) Execute(ctx context.Context, asked *a2asrv.ExecutorContext) iter.Seq2[a2a.Event, error] {
	return func(yield func(a2a.Event, error) bool) {
		turn := shared.Turn{
			Message:  *fromMessage(asked.Message),
			Resumes:  asked.StoredTask != nil,
			Header:   func(name string) any { return header(asked.ServiceParams, name) },
			Activate: func(string) {},
			Emit: func(event shared.Event) error {
				if !yield(toEvent(asked, event), nil) {
					return shared.ErrStopped
				}
				return nil
			},
		}
		if extensions, ok := a2asrv.ExtensionsFrom(ctx); ok {
			turn.Extensions = extensions.RequestedURIs()
			turn.Activate = func(string) { extensions.Activate(&extension) }
		}
		if err := turn.Act(ctx); err != nil && !errors.Is(err, shared.ErrStopped) {
			yield(nil, err)
		}
	}
}

func (executor) Cancel(_ context.Context, asked *a2asrv.ExecutorContext) iter.Seq2[a2a.Event, error] {
	return func(yield func(a2a.Event, error) bool) {
		yield(a2a.NewStatusUpdateEvent(asked, a2a.TaskStateCanceled, nil), nil)
	}
}

func header(params *a2asrv.ServiceParams, name string) any {
	if values, ok := params.Get(name); ok && len(values) > 0 {
		return values[0]
	}
	return nil
}

func toEvent(asked *a2asrv.ExecutorContext, event shared.Event) a2a.Event {
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
		task.Status = a2a.TaskStatus{State: toState(event.Task.Status.State), Message: said(asked, event.Task.Status.Text)}
		return task
	case event.Status != nil:
		return a2a.NewStatusUpdateEvent(asked, toState(event.Status.State), said(asked, event.Status.Text))
	default:
		update := a2a.NewArtifactUpdateEvent(asked, "artifact-1", toParts(event.Artifact.Parts)...)
		update.Artifact.Name, update.Append, update.LastChunk = event.Artifact.Name, event.Artifact.Append, event.Artifact.Last
		return update
	}
}

// said is the agent's message of a status, if there is any.
func said(asked *a2asrv.ExecutorContext, words string) *a2a.Message {
	if words == "" {
		return nil
	}
	return a2a.NewMessageForTask(a2a.MessageRoleAgent, asked, a2a.NewTextPart(words))
}

func cardOf(dialect string, urls map[a2a.TransportProtocol]string) *a2a.AgentCard {
	card := &a2a.AgentCard{
		Name:               "interop",
		Description:        "The Go agent of the interop tests",
		Version:            "1.0.0",
		DefaultInputModes:  []string{"text/plain"},
		DefaultOutputModes: []string{"text/plain"},
		Skills:             []a2a.AgentSkill{skill("talk")},
		Capabilities: a2a.AgentCapabilities{
			Streaming:         true,
			PushNotifications: true,
			ExtendedAgentCard: true,
			Extensions:        []a2a.AgentExtension{extension},
		},
	}
	for _, binding := range []a2a.TransportProtocol{a2a.TransportProtocolJSONRPC, a2a.TransportProtocolHTTPJSON} {
		i := a2a.NewAgentInterface(urls[binding], binding)
		i.ProtocolVersion = a2a.ProtocolVersion(dialect)
		card.SupportedInterfaces = append(card.SupportedInterfaces, i)
	}
	return card
}

func skill(id string) a2a.AgentSkill {
	return a2a.AgentSkill{ID: id, Name: id, Description: id, Tags: []string{"interop"}}
}

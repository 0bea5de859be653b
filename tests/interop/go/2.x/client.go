package main

import (
	"context"
	"iter"
	"strings"

	"github.com/a2aproject/a2a-go/v2/a2a"
	"github.com/a2aproject/a2a-go/v2/a2aclient"
	"github.com/a2aproject/a2a-go/v2/a2aclient/agentcard"
	"github.com/a2aproject/a2a-go/v2/a2acompat/a2av0"
	"github.com/a2aproject/a2a-go/v2/a2aext"
	"github.com/a2aproject/a2a-go/v2/a2agrpc/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"interop/shared"
)

// peer is the SDK's client behind the shared words.
type peer struct {
	client *a2aclient.Client
	card   *a2a.AgentCard
}

func open(ctx context.Context, target shared.Target) (shared.Peer, error) {
	resolver := agentcard.NewResolver(nil)
	options := []a2aclient.FactoryOption{
		a2aclient.WithConfig(a2aclient.Config{PreferredTransports: []a2a.TransportProtocol{a2a.TransportProtocol(target.Binding)}}),
		a2agrpc.WithGRPCTransport(grpc.WithTransportCredentials(insecure.NewCredentials())),
		a2aclient.WithCallInterceptors(a2aext.NewActivator(target.Extensions...)),
	}
	if target.Dialect == "0.3" {
		resolver.CardParser = a2av0.NewAgentCardParser()
		options = append(options,
			a2av0.WithJSONRPCTransport(a2av0.JSONRPCTransportConfig{}), a2av0.WithRESTTransport(a2av0.RESTTransportConfig{}))
	}
	card, err := resolver.Resolve(ctx, target.Base)
	if err != nil {
		return nil, err
	}
	// The factory takes the newest version first, and another binding where the card parser has lost the wanted one: so it
	// is shown only what is wanted. (The parser of 0.3 drops an interface that has the same URL as the preferred one.)
	offered := *card
	offered.SupportedInterfaces = nil
	for _, i := range card.SupportedInterfaces {
		if strings.HasPrefix(string(i.ProtocolVersion), target.Dialect) && string(i.ProtocolBinding) == target.Binding {
			offered.SupportedInterfaces = append(offered.SupportedInterfaces, i)
		}
	}
	client, err := a2aclient.NewFromCard(ctx, &offered, options...)
	return &peer{client, card}, err
}

func (p *peer) Close() { p.client.Destroy() }

func (p *peer) NotFound() error { return a2a.ErrTaskNotFound }

func (p *peer) NotCancelable() error { return a2a.ErrTaskNotCancelable }

func (p *peer) Card() shared.Card { return fromCard(p.card) }

func (p *peer) ExtendedCard(ctx context.Context) (shared.Card, error) {
	card, err := p.client.GetExtendedAgentCard(ctx, &a2a.GetExtendedAgentCardRequest{})
	if err != nil {
		return shared.Card{}, err
	}
	return fromCard(card), nil
}

func (p *peer) Send(ctx context.Context, message shared.Message) (shared.Event, error) {
	answer, err := p.client.SendMessage(withHeaders(ctx, message), toRequest(message))
	if err != nil {
		return shared.Event{}, err
	}
	return fromEvent(answer), nil
}

func (p *peer) Stream(ctx context.Context, message shared.Message) iter.Seq2[shared.Event, error] {
	return shared.Map(p.client.SendStreamingMessage(withHeaders(ctx, message), toRequest(message)), fromEvent)
}

func (p *peer) Subscribe(ctx context.Context, id string) iter.Seq2[shared.Event, error] {
	return shared.Map(p.client.SubscribeToTask(ctx, &a2a.SubscribeToTaskRequest{ID: a2a.TaskID(id)}), fromEvent)
}

func (p *peer) Get(ctx context.Context, id string, historyLength *int) (shared.Task, error) {
	return answerOf(p.client.GetTask(ctx, &a2a.GetTaskRequest{ID: a2a.TaskID(id), HistoryLength: historyLength}))
}

func (p *peer) Cancel(ctx context.Context, id string) (shared.Task, error) {
	return answerOf(p.client.CancelTask(ctx, &a2a.CancelTaskRequest{ID: a2a.TaskID(id)}))
}

func (p *peer) List(ctx context.Context, contextID string) ([]shared.Task, error) {
	answer, err := p.client.ListTasks(ctx, &a2a.ListTasksRequest{ContextID: contextID})
	if err != nil {
		return nil, err
	}
	var tasks []shared.Task
	for _, task := range answer.Tasks {
		tasks = append(tasks, fromTask(task))
	}
	return tasks, nil
}

func (p *peer) CreateHook(ctx context.Context, taskID string, hook shared.Hook) (shared.Hook, error) {
	config := &a2a.PushConfig{TaskID: a2a.TaskID(taskID), ID: hook.ID, URL: hook.URL, Token: hook.Token}
	return hookOf(p.client.CreateTaskPushConfig(ctx, config))
}

func (p *peer) GetHook(ctx context.Context, taskID, id string) (shared.Hook, error) {
	return hookOf(p.client.GetTaskPushConfig(ctx, &a2a.GetTaskPushConfigRequest{TaskID: a2a.TaskID(taskID), ID: id}))
}

func (p *peer) ListHooks(ctx context.Context, taskID string) ([]shared.Hook, error) {
	configs, err := p.client.ListTaskPushConfigs(ctx, &a2a.ListTaskPushConfigRequest{TaskID: a2a.TaskID(taskID)})
	if err != nil {
		return nil, err
	}
	var hooks []shared.Hook
	for _, config := range configs {
		hooks = append(hooks, shared.Hook{ID: config.ID, URL: config.URL, Token: config.Token})
	}
	return hooks, nil
}

func (p *peer) DeleteHook(ctx context.Context, taskID, id string) error {
	return p.client.DeleteTaskPushConfig(ctx, &a2a.DeleteTaskPushConfigRequest{TaskID: a2a.TaskID(taskID), ID: id})
}

func withHeaders(ctx context.Context, message shared.Message) context.Context {
	params := a2aclient.ServiceParams{}
	for name, value := range message.Headers {
		params.Append(name, value)
	}
	return a2aclient.AttachServiceParams(ctx, params)
}

func toRequest(message shared.Message) *a2a.SendMessageRequest {
	made := a2a.NewMessage(a2a.MessageRoleUser, toParts(message.Parts)...)
	made.TaskID, made.ContextID, made.Metadata = a2a.TaskID(message.TaskID), message.ContextID, message.Metadata
	return &a2a.SendMessageRequest{
		Message: made,
		Config:  &a2a.SendMessageConfig{ReturnImmediately: message.ReturnImmediately},
	}
}

func fromCard(card *a2a.AgentCard) shared.Card {
	made := shared.Card{Name: card.Name}
	for _, i := range card.SupportedInterfaces {
		made.Interfaces = append(made.Interfaces, shared.Interface{Binding: string(i.ProtocolBinding), Dialect: string(i.ProtocolVersion)})
	}
	for _, skill := range card.Skills {
		made.Skills = append(made.Skills, skill.ID)
	}
	return made
}

func answerOf(task *a2a.Task, err error) (shared.Task, error) {
	if err != nil {
		return shared.Task{}, err
	}
	return fromTask(task), nil
}

func hookOf(config *a2a.PushConfig, err error) (shared.Hook, error) {
	if err != nil {
		return shared.Hook{}, err
	}
	return shared.Hook{ID: config.ID, URL: config.URL, Token: config.Token}, nil
}

package main

import (
	"context"
	"iter"

	"github.com/a2aproject/a2a-go/a2a"
	"github.com/a2aproject/a2a-go/a2aclient"
	"github.com/a2aproject/a2a-go/a2aclient/agentcard"
	"github.com/a2aproject/a2a-go/a2aext"

	"interop/shared"
)

// peer is the SDK's client behind the shared words.
type peer struct {
	client *a2aclient.Client
	card   *a2a.AgentCard
}

func open(ctx context.Context, target shared.Target) (shared.Peer, error) {
	card, err := agentcard.DefaultResolver.Resolve(ctx, target.Base)
	if err != nil {
		return nil, err
	}
	preferred := []a2a.TransportProtocol{a2a.TransportProtocol(target.Binding)}
	client, err := a2aclient.NewFromCard(ctx, card,
		a2aclient.WithConfig(a2aclient.Config{PreferredTransports: preferred}),
		a2aclient.WithInterceptors(a2aext.NewActivator(target.Extensions...), headers{}))
	return &peer{client, card}, err
}

// headers adds to a call what its context carries: the SDK adds none by itself but through an interceptor.
type headers struct {
	a2aclient.PassthroughInterceptor
}

type headersKey struct{}

func (headers) Before(ctx context.Context, request *a2aclient.Request) (context.Context, error) {
	added, _ := ctx.Value(headersKey{}).(map[string]string)
	for name, value := range added {
		request.Meta.Append(name, value)
	}
	return ctx, nil
}

func (p *peer) Close() { p.client.Destroy() }

func (p *peer) NotFound() error { return a2a.ErrTaskNotFound }

func (p *peer) NotCancelable() error { return a2a.ErrTaskNotCancelable }

func (p *peer) Card() shared.Card { return fromCard(p.card) }

func (p *peer) ExtendedCard(ctx context.Context) (shared.Card, error) {
	card, err := p.client.GetAgentCard(ctx)
	if err != nil {
		return shared.Card{}, err
	}
	return fromCard(card), nil
}

func (p *peer) Send(ctx context.Context, message shared.Message) (shared.Event, error) {
	answer, err := p.client.SendMessage(withHeaders(ctx, message), toParams(message))
	if err != nil {
		return shared.Event{}, err
	}
	return fromEvent(answer), nil
}

func (p *peer) Stream(ctx context.Context, message shared.Message) iter.Seq2[shared.Event, error] {
	return shared.Map(p.client.SendStreamingMessage(withHeaders(ctx, message), toParams(message)), fromEvent)
}

func (p *peer) Subscribe(ctx context.Context, id string) iter.Seq2[shared.Event, error] {
	return shared.Map(p.client.ResubscribeToTask(ctx, &a2a.TaskIDParams{ID: a2a.TaskID(id)}), fromEvent)
}

func (p *peer) Get(ctx context.Context, id string, historyLength *int) (shared.Task, error) {
	return answerOf(p.client.GetTask(ctx, &a2a.TaskQueryParams{ID: a2a.TaskID(id), HistoryLength: historyLength}))
}

func (p *peer) Cancel(ctx context.Context, id string) (shared.Task, error) {
	return answerOf(p.client.CancelTask(ctx, &a2a.TaskIDParams{ID: a2a.TaskID(id)}))
}

func (p *peer) List(context.Context, string) ([]shared.Task, error) {
	return nil, shared.Unsupported("listing tasks is no part of 0.3")
}

func (p *peer) CreateHook(ctx context.Context, taskID string, hook shared.Hook) (shared.Hook, error) {
	config := a2a.PushConfig{ID: hook.ID, URL: hook.URL, Token: hook.Token}
	return hookOf(p.client.SetTaskPushConfig(ctx, &a2a.TaskPushConfig{TaskID: a2a.TaskID(taskID), Config: config}))
}

func (p *peer) GetHook(ctx context.Context, taskID, id string) (shared.Hook, error) {
	return hookOf(p.client.GetTaskPushConfig(ctx, &a2a.GetTaskPushConfigParams{TaskID: a2a.TaskID(taskID), ConfigID: id}))
}

func (p *peer) ListHooks(ctx context.Context, taskID string) ([]shared.Hook, error) {
	configs, err := p.client.ListTaskPushConfig(ctx, &a2a.ListTaskPushConfigParams{TaskID: a2a.TaskID(taskID)})
	if err != nil {
		return nil, err
	}
	var hooks []shared.Hook
	for _, config := range configs {
		hooks = append(hooks, fromConfig(config))
	}
	return hooks, nil
}

func (p *peer) DeleteHook(ctx context.Context, taskID, id string) error {
	return p.client.DeleteTaskPushConfig(ctx, &a2a.DeleteTaskPushConfigParams{TaskID: a2a.TaskID(taskID), ConfigID: id})
}

func withHeaders(ctx context.Context, message shared.Message) context.Context {
	return context.WithValue(ctx, headersKey{}, message.Headers)
}

func toParams(message shared.Message) *a2a.MessageSendParams {
	made := a2a.NewMessage(a2a.MessageRoleUser, toParts(message.Parts)...)
	made.TaskID, made.ContextID, made.Metadata = a2a.TaskID(message.TaskID), message.ContextID, message.Metadata
	blocking := !message.ReturnImmediately
	return &a2a.MessageSendParams{Message: made, Config: &a2a.MessageSendConfig{Blocking: &blocking}}
}

func fromCard(card *a2a.AgentCard) shared.Card {
	made := shared.Card{Name: card.Name}
	for _, i := range append(card.AdditionalInterfaces, a2a.AgentInterface{Transport: card.PreferredTransport}) {
		made.Interfaces = append(made.Interfaces, shared.Interface{Binding: string(i.Transport), Dialect: card.ProtocolVersion})
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

func hookOf(config *a2a.TaskPushConfig, err error) (shared.Hook, error) {
	if err != nil {
		return shared.Hook{}, err
	}
	return fromConfig(config), nil
}

func fromConfig(config *a2a.TaskPushConfig) shared.Hook {
	return shared.Hook{ID: config.Config.ID, URL: config.Config.URL, Token: config.Config.Token}
}

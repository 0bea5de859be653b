/*
 * One target: its card as the SDK resolved it, and the SDK's clients for the wanted binding.
 */
package interop.client;

import io.a2a.A2A;
import io.a2a.client.Client;
import io.a2a.client.ClientBuilder;
import io.a2a.client.ClientEvent;
import io.a2a.client.MessageEvent;
import io.a2a.client.TaskEvent;
import io.a2a.client.config.ClientConfig;
import io.a2a.client.transport.jsonrpc.JSONRPCTransport;
import io.a2a.client.transport.jsonrpc.JSONRPCTransportConfig;
import io.a2a.client.transport.rest.RestTransport;
import io.a2a.client.transport.rest.RestTransportConfig;
import io.a2a.client.transport.spi.interceptors.ClientCallContext;
import io.a2a.spec.AgentCard;
import io.a2a.spec.Message;
import io.a2a.spec.Part;
import io.a2a.spec.Task;
import io.a2a.spec.TextPart;
import java.net.URI;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;

record Session(AgentCard card, String binding) {
    static Session open(String base, String binding) {
        // The SDK's card path replaces the path of the base, so a base with a path needs the whole path said.
        String path = URI.create(base).getPath() + "/.well-known/agent-card.json";
        return new Session(A2A.getAgentCard(base, path, Map.of()), binding);
    }

    /** A client that knows only the wanted binding, so that the SDK takes it from the card or refuses. */
    Client client(boolean streaming, boolean polling) throws Exception {
        ClientConfig config =
                new ClientConfig.Builder().setStreaming(streaming).setPolling(polling).build();
        ClientBuilder builder = Client.builder(card).clientConfig(config);
        if (binding.equals("HTTP+JSON")) {
            builder.withTransport(RestTransport.class, new RestTransportConfig());
        } else {
            builder.withTransport(JSONRPCTransport.class, new JSONRPCTransportConfig());
        }
        return builder.build();
    }

    static Message message(List<Part<?>> parts) {
        return new Message.Builder()
                .role(Message.Role.USER)
                .messageId(UUID.randomUUID().toString())
                .parts(parts)
                .build();
    }

    static Message message(String text) {
        return message(List.of(new TextPart(text)));
    }

    /** Sends and waits for the answer. */
    ClientEvent send(Message message, ClientCallContext context) throws Exception {
        return send(message, false, context);
    }

    /** Sends and takes the first answer, whatever becomes of the task. */
    Task begin(Message message) throws Exception {
        return task(send(message, true, null));
    }

    private ClientEvent send(Message message, boolean polling, ClientCallContext context) throws Exception {
        List<ClientEvent> got = new ArrayList<>();
        Client client = client(false, polling);
        client.sendMessage(message, List.of((event, card) -> got.add(event)), null, context);
        Failed.unless(got.size() == 1, got.size() + " answers, not 1");
        return got.get(0);
    }

    static Task task(ClientEvent event) {
        Failed.unless(event instanceof TaskEvent, "no task came: " + event);
        return ((TaskEvent) event).getTask();
    }

    static Message answer(ClientEvent event) {
        Failed.unless(event instanceof MessageEvent, "no message came: " + event);
        return ((MessageEvent) event).getMessage();
    }
}

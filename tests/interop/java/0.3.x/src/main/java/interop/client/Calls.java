/*
 * Headers and extensions: what a call says beside its message.
 */
package interop.client;

import interop.Words;
import io.a2a.client.transport.spi.interceptors.ClientCallContext;
import io.a2a.common.A2AHeaders;
import io.a2a.spec.DataPart;
import io.a2a.spec.Message;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

final class Calls {
    private static final String TRACE = "00-0af7651916cd43dd8448eb211c80319c";
    private static final Map<String, String> HEADERS = Map.of(
            "Authorization", "Bearer s3cret",
            "X-API-Key", "k3y",
            "traceparent", TRACE + "-b7ad6b7169203331-01");

    /** Three headers, set by the SDK's call context, arrive. */
    static void headers(Session session) throws Exception {
        Map<?, ?> seen = ask(session, HEADERS);
        // The mesh may add a span of its own, so only the trace must be the same.
        boolean arrived = "Bearer s3cret".equals(seen.get("authorization"))
                && "k3y".equals(seen.get("x-api-key"))
                && String.valueOf(seen.get("traceparent")).startsWith(TRACE);
        Failed.unless(arrived, "the agent saw " + seen);
    }

    /** The extension that the client asks for is seen by the agent. */
    static void extensions(Session session) throws Exception {
        // With the headers too: the answer has a null for each that is absent, and the SDK cannot read a null.
        Map<String, String> headers = new HashMap<>(HEADERS);
        headers.put(A2AHeaders.X_A2A_EXTENSIONS, Words.EXTENSION);
        Map<?, ?> seen = ask(session, headers);
        boolean found = seen.get("extensions") instanceof List<?> asked && asked.contains(Words.EXTENSION);
        Failed.unless(found, "the agent saw " + seen);
    }

    private static Map<?, ?> ask(Session session, Map<String, String> headers) throws Exception {
        ClientCallContext context = new ClientCallContext(Map.of(), headers);
        Message answer = Session.answer(session.send(Session.message("headers"), context));
        boolean data = answer.getParts().get(0) instanceof DataPart part && part.getData() instanceof Map;
        Failed.unless(data, "the answer is " + answer.getParts());
        Map<?, ?> seen = (Map<?, ?>) ((DataPart) answer.getParts().get(0)).getData();
        if (Boolean.TRUE.equals(seen.get("unsupported"))) {
            throw new Unsupported("the agent's SDK shows no headers to its executor");
        }
        return seen;
    }

    private Calls() {
    }
}

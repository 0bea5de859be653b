/*
 * One HTTP request as the SDK's handlers want it, and the two kinds of answer: a body, or a stream of events.
 */
package interop.agent;

import com.sun.net.httpserver.HttpExchange;
import io.a2a.common.A2AHeaders;
import io.a2a.server.ServerCallContext;
import io.a2a.server.auth.UnauthenticatedUser;
import io.a2a.server.extensions.A2AExtensions;
import java.io.IOException;
import java.io.OutputStream;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Flow;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.function.Function;

final class Call {
    private final HttpExchange exchange;
    private final String body;
    private final ServerCallContext context;

    Call(HttpExchange exchange) throws IOException {
        this.exchange = exchange;
        this.body = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
        Map<String, String> headers = new HashMap<>();
        exchange.getRequestHeaders()
                .forEach((name, values) -> headers.put(name.toLowerCase(Locale.ROOT), values.get(0)));
        List<String> extensions = exchange.getRequestHeaders().getOrDefault(A2AHeaders.X_A2A_EXTENSIONS, List.of());
        this.context = new ServerCallContext(
                UnauthenticatedUser.INSTANCE,
                new HashMap<>(Map.of("headers", headers)),
                A2AExtensions.getRequestedExtensions(extensions),
                exchange.getRequestHeaders().getFirst(A2AHeaders.X_A2A_VERSION));
    }

    String method() {
        return exchange.getRequestMethod();
    }

    String path() {
        return exchange.getRequestURI().getPath();
    }

    String body() {
        return body;
    }

    ServerCallContext context() {
        return context;
    }

    /** A parameter of the query; null when it is absent. */
    String query(String name) {
        String query = exchange.getRequestURI().getRawQuery();
        for (String pair : query == null ? new String[0] : query.split("&")) {
            String[] both = pair.split("=", 2);
            if (both[0].equals(name) && both.length == 2) {
                return URLDecoder.decode(both[1], StandardCharsets.UTF_8);
            }
        }
        return null;
    }

    void answer(int status, String type, String text) throws IOException {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        begin(type);
        exchange.sendResponseHeaders(status, bytes.length == 0 ? -1 : bytes.length);
        exchange.getResponseBody().write(bytes);
    }

    /** Writes each item as one event, until the publisher ends or the caller is gone. */
    <T> void stream(Flow.Publisher<T> items, Function<T, String> asEvent) throws IOException {
        // An empty Optional is the end of the stream.
        BlockingQueue<Optional<T>> arrived = new LinkedBlockingQueue<>();
        items.subscribe(new Into<>(arrived));
        begin("text/event-stream");
        exchange.sendResponseHeaders(200, 0);
        OutputStream out = exchange.getResponseBody();
        try {
            out.flush();
            for (Optional<T> item = arrived.take(); item.isPresent(); item = arrived.take()) {
                out.write(asEvent.apply(item.get()).getBytes(StandardCharsets.UTF_8));
                out.flush();
            }
        } catch (IOException gone) {
            context.invokeEventConsumerCancelCallback();
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        }
    }

    private void begin(String type) {
        exchange.getResponseHeaders().set("Content-Type", type);
        if (!context.getActivatedExtensions().isEmpty()) {
            String active = String.join(", ", context.getActivatedExtensions());
            exchange.getResponseHeaders().set(A2AHeaders.X_A2A_EXTENSIONS, active);
        }
    }

    private record Into<T>(BlockingQueue<Optional<T>> arrived) implements Flow.Subscriber<T> {
        @Override
        public void onSubscribe(Flow.Subscription subscription) {
            subscription.request(Long.MAX_VALUE);
        }

        @Override
        public void onNext(T item) {
            arrived.add(Optional.of(item));
        }

        @Override
        public void onError(Throwable error) {
            error.printStackTrace();
            arrived.add(Optional.empty());
        }

        @Override
        public void onComplete() {
            arrived.add(Optional.empty());
        }
    }
}

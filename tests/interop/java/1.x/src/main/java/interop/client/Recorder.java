/*
 * Takes the events of one stream as the SDK hands them over, with the time of each.
 */
package interop.client;

import io.a2a.client.ClientEvent;
import io.a2a.client.MessageEvent;
import io.a2a.spec.AgentCard;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;
import java.util.function.Consumer;

final class Recorder {
    /** Stands for the end of the stream among the events. */
    private static final Object END = new Object();

    private final BlockingQueue<Object> arrived = new LinkedBlockingQueue<>();
    private final List<Instant> times = new ArrayList<>();
    private volatile boolean finished;

    List<BiConsumer<ClientEvent, AgentCard>> consumers() {
        return List.of((event, card) -> {
            finished = finished || !(event instanceof MessageEvent) && Streams.task(event).status().state().isFinal();
            arrived.add(event);
        });
    }

    /** The SDK tells the end as an error that is null; at a final event it closes the stream itself and tells that. */
    Consumer<Throwable> errors() {
        return error -> arrived.add(error == null || finished ? END : error);
    }

    /** The next event; null when the stream ended. Fails when nothing comes in time. */
    ClientEvent next(Duration patience) throws Exception {
        Object item = arrived.poll(patience.toMillis(), TimeUnit.MILLISECONDS);
        Failed.unless(item != null, "no event and no end within " + patience);
        if (item instanceof Throwable error) {
            throw new Exception("the stream failed", error);
        }
        if (item == END) {
            return null;
        }
        times.add(Instant.now());
        return (ClientEvent) item;
    }

    /** The events up to the end of the stream. */
    List<ClientEvent> rest() throws Exception {
        List<ClientEvent> events = new ArrayList<>();
        // The operation's own timeout ends a wait that is too long.
        Duration patience = Duration.ofHours(1);
        for (ClientEvent event = next(patience); event != null; event = next(patience)) {
            events.add(event);
        }
        return events;
    }

    /** The time between the first event and the last. */
    Duration spread() {
        return times.isEmpty() ? Duration.ZERO : Duration.between(times.get(0), times.get(times.size() - 1));
    }
}

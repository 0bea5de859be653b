/*
 * Takes the events of one stream as the SDK hands them over, with the time of each.
 */
package interop.client;

import io.a2a.client.ClientEvent;
import io.a2a.client.MessageEvent;
import io.a2a.client.TaskUpdateEvent;
import io.a2a.spec.AgentCard;
import io.a2a.spec.TaskStatusUpdateEvent;
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
    /** How long a stream that is over may go on: the SDK does not tell the end of a stream over HTTP+JSON. */
    private static final Duration GRACE = Duration.ofMillis(500);

    private final BlockingQueue<Object> arrived = new LinkedBlockingQueue<>();
    private final List<Instant> times = new ArrayList<>();
    private volatile boolean finished;

    List<BiConsumer<ClientEvent, AgentCard>> consumers() {
        return List.of((event, card) -> {
            finished = finished || isLast(event);
            arrived.add(event);
        });
    }

    /** Over JSON-RPC the end is an error that is null; at a final event the SDK closes the stream, and tells that. */
    Consumer<Throwable> errors() {
        return error -> arrived.add(error == null || finished ? END : error);
    }

    /** Whether anything, an event or the end, comes in time. */
    boolean arrives(Duration patience) throws InterruptedException {
        for (long waited = 0; arrived.isEmpty() && waited < patience.toMillis(); waited += 10) {
            Thread.sleep(10);
        }
        return !arrived.isEmpty();
    }

    /** The next event; null when the stream ended. */
    ClientEvent next() throws Exception {
        Object item = finished ? arrived.poll(GRACE.toMillis(), TimeUnit.MILLISECONDS) : arrived.take();
        if (item instanceof Throwable error) {
            throw new Exception("the stream failed", error);
        }
        if (item == END || item == null) {
            return null;
        }
        times.add(Instant.now());
        return (ClientEvent) item;
    }

    /** The events up to the end of the stream; the operation's own timeout ends a wait that is too long. */
    List<ClientEvent> rest() throws Exception {
        List<ClientEvent> events = new ArrayList<>();
        for (ClientEvent event = next(); event != null; event = next()) {
            events.add(event);
        }
        return events;
    }

    /** The time between the first event and the last. */
    Duration spread() {
        return times.isEmpty() ? Duration.ZERO : Duration.between(times.get(0), times.get(times.size() - 1));
    }

    private static boolean isLast(ClientEvent event) {
        return event instanceof MessageEvent
                || event instanceof TaskUpdateEvent update
                        && update.getUpdateEvent() instanceof TaskStatusUpdateEvent status
                        && status.isFinal();
    }
}

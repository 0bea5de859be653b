/*
 * What the agent does, decided by the first word of the message's first text part.
 */
package interop.agent;

import interop.Words;
import io.a2a.server.ServerCallContext;
import io.a2a.server.agentexecution.AgentExecutor;
import io.a2a.server.agentexecution.RequestContext;
import io.a2a.server.events.EventQueue;
import io.a2a.server.tasks.TaskUpdater;
import io.a2a.spec.DataPart;
import io.a2a.spec.Message;
import io.a2a.spec.Part;
import io.a2a.spec.Task;
import io.a2a.spec.TaskState;
import io.a2a.spec.TaskStatus;
import io.a2a.spec.TextPart;
import io.quarkus.runtime.ShutdownEvent;
import jakarta.enterprise.context.ApplicationScoped;
import jakarta.enterprise.event.Observes;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

@ApplicationScoped
public class Executor implements AgentExecutor {
    /** The pause between two events of `stream`. */
    private static final long STEP_MILLIS = 150;
    /** How long a `wait` task stays working when nobody cancels it. */
    private static final long PATIENCE_SECONDS = 30;

    /** What ends the wait of each `wait` task: the SDK does not stop an executor when its task is cancelled. */
    private final Map<String, CountDownLatch> waiting = new ConcurrentHashMap<>();

    @Override
    public void execute(RequestContext context, EventQueue events) {
        TaskUpdater updater = new TaskUpdater(context, events);
        if (context.getTask() != null) {
            // Only `input` tasks are ever continued: whatever the answer is, it completes them.
            updater.complete();
            return;
        }
        Message message = context.getMessage();
        String word = firstText(message);
        if (word.startsWith("task")) {
            begin(context, events, TaskState.WORKING);
            updater.addArtifact(Words.resultParts(), null, "result", null);
            updater.complete(say(updater, "finished"));
        } else if (word.startsWith("stream")) {
            stream(context, events, updater);
        } else if (word.startsWith("wait")) {
            waits(context, events, updater);
        } else if (word.startsWith("input")) {
            begin(context, events, TaskState.WORKING);
            // In 0.3 this status is the last of the interaction, and says so.
            updater.requiresInput(say(updater, "which one?"), true);
        } else if (word.startsWith("fail")) {
            begin(context, events, TaskState.WORKING);
            updater.fail(say(updater, "broken"));
        } else if (word.startsWith("raise")) {
            throw new IllegalStateException("raised by the executor");
        } else if (word.startsWith("headers")) {
            answer(events, message, List.of(new DataPart(headers(context.getCallContext()))), null);
        } else {
            answer(events, message, message.getParts(), message.getMetadata());
        }
    }

    @Override
    public void cancel(RequestContext context, EventQueue events) {
        new TaskUpdater(context, events).cancel();
        CountDownLatch wait = waiting.get(context.getTaskId());
        if (wait != null) {
            wait.countDown();
        }
    }

    /** The SDK waits for its executors when the agent is ended. */
    void stop(@Observes ShutdownEvent event) {
        waiting.values().forEach(CountDownLatch::countDown);
    }

    private static String firstText(Message message) {
        return message.getParts().stream()
                .filter(TextPart.class::isInstance)
                .map(part -> ((TextPart) part).getText())
                .findFirst()
                .orElse("");
    }

    private static void begin(RequestContext context, EventQueue events, TaskState state) {
        events.enqueueEvent(new Task.Builder()
                .id(context.getTaskId())
                .contextId(context.getContextId())
                .status(new TaskStatus(state))
                .history(context.getMessage())
                .build());
    }

    private static void stream(RequestContext context, EventQueue events, TaskUpdater updater) {
        begin(context, events, TaskState.SUBMITTED);
        pause();
        updater.startWork(say(updater, "step 1"));
        for (int number = 1; number <= 3; number++) {
            pause();
            List<Part<?>> parts = List.of(new TextPart("chunk " + number));
            updater.addArtifact(parts, "artifact-1", null, null, number > 1, number == 3);
        }
        pause();
        updater.complete();
    }

    private void waits(RequestContext context, EventQueue events, TaskUpdater updater) {
        CountDownLatch wait = new CountDownLatch(1);
        waiting.put(context.getTaskId(), wait);
        begin(context, events, TaskState.SUBMITTED);
        updater.startWork(say(updater, "waiting"));
        try {
            if (!wait.await(PATIENCE_SECONDS, TimeUnit.SECONDS)) {
                updater.complete();
            }
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        } finally {
            waiting.remove(context.getTaskId());
        }
    }

    private static void pause() {
        try {
            Thread.sleep(STEP_MILLIS);
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        }
    }

    private static Message say(TaskUpdater updater, String text) {
        return updater.newAgentMessage(List.of(new TextPart(text)), null);
    }

    private static void answer(
            EventQueue events, Message request, List<Part<?>> parts, Map<String, Object> metadata) {
        events.enqueueEvent(new Message.Builder()
                .role(Message.Role.AGENT)
                .messageId(UUID.randomUUID().toString())
                .contextId(request.getContextId())
                .parts(parts)
                .metadata(metadata)
                .build());
    }

    private static Map<String, Object> headers(ServerCallContext call) {
        // The SDK keeps the names as they came, in whatever case.
        Map<String, Object> headers = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
        ((Map<?, ?>) call.getState().get("headers")).forEach((name, value) -> headers.put((String) name, value));
        Map<String, Object> seen = new LinkedHashMap<>();
        for (String name : List.of("authorization", "x-api-key", "traceparent")) {
            seen.put(name, headers.get(name));
        }
        seen.put("extensions", List.copyOf(call.getRequestedExtensions()));
        if (call.isExtensionRequested(Words.EXTENSION)) {
            call.activateExtension(Words.EXTENSION);
        }
        return seen;
    }
}

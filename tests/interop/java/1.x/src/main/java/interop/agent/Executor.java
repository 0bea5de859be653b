/*
 * What the agent does, decided by the first word of the message's first text part.
 */
package interop.agent;

import interop.Words;
import io.a2a.server.ServerCallContext;
import io.a2a.server.agentexecution.AgentExecutor;
import io.a2a.server.agentexecution.RequestContext;
import io.a2a.server.tasks.AgentEmitter;
import io.a2a.spec.DataPart;
import io.a2a.spec.Message;
import io.a2a.spec.Part;
import io.a2a.spec.TaskState;
import io.a2a.spec.TaskStatus;
import io.a2a.spec.TextPart;
import jakarta.enterprise.context.ApplicationScoped;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
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
    public void execute(RequestContext context, AgentEmitter emitter) {
        if (context.getTask() != null) {
            // Only `input` tasks are ever continued: whatever the answer is, it completes them.
            emitter.complete();
            return;
        }
        Message message = context.getMessage();
        String word = firstText(message);
        if (word.startsWith("task")) {
            begin(context, emitter, TaskState.TASK_STATE_WORKING);
            emitter.addArtifact(Words.resultParts(), null, "result", null);
            emitter.complete(say(emitter, "finished"));
        } else if (word.startsWith("stream")) {
            stream(context, emitter);
        } else if (word.startsWith("wait")) {
            waits(context, emitter);
        } else if (word.startsWith("input")) {
            begin(context, emitter, TaskState.TASK_STATE_WORKING);
            emitter.requiresInput(say(emitter, "which one?"));
        } else if (word.startsWith("fail")) {
            begin(context, emitter, TaskState.TASK_STATE_WORKING);
            emitter.fail(say(emitter, "broken"));
        } else if (word.startsWith("raise")) {
            throw new IllegalStateException("raised by the executor");
        } else if (word.startsWith("headers")) {
            answer(emitter, message, List.of(new DataPart(headers(context.getCallContext()))), null);
        } else {
            answer(emitter, message, message.parts(), message.metadata());
        }
    }

    @Override
    public void cancel(RequestContext context, AgentEmitter emitter) {
        emitter.cancel();
        CountDownLatch wait = waiting.get(context.getTaskId());
        if (wait != null) {
            wait.countDown();
        }
    }

    private static String firstText(Message message) {
        return message.parts().stream()
                .filter(TextPart.class::isInstance)
                .map(part -> ((TextPart) part).text())
                .findFirst()
                .orElse("");
    }

    private static void begin(RequestContext context, AgentEmitter emitter, TaskState state) {
        emitter.addTask(
                emitter.taskBuilder().status(new TaskStatus(state)).history(context.getMessage()).build());
    }

    private static void stream(RequestContext context, AgentEmitter emitter) {
        begin(context, emitter, TaskState.TASK_STATE_SUBMITTED);
        pause();
        emitter.startWork(say(emitter, "step 1"));
        for (int number = 1; number <= 3; number++) {
            pause();
            List<Part<?>> parts = List.of(new TextPart("chunk " + number));
            emitter.addArtifact(parts, "artifact-1", null, null, number > 1, number == 3);
        }
        pause();
        emitter.complete();
    }

    private void waits(RequestContext context, AgentEmitter emitter) {
        CountDownLatch wait = new CountDownLatch(1);
        waiting.put(context.getTaskId(), wait);
        begin(context, emitter, TaskState.TASK_STATE_SUBMITTED);
        emitter.startWork(say(emitter, "waiting"));
        try {
            if (!wait.await(PATIENCE_SECONDS, TimeUnit.SECONDS)) {
                emitter.complete();
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

    private static Message say(AgentEmitter emitter, String text) {
        return emitter.newAgentMessage(List.of(new TextPart(text)), null);
    }

    /** The SDK's own message builder adds a task id, but a direct answer belongs to no task. */
    private static void answer(
            AgentEmitter emitter, Message request, List<Part<?>> parts, Map<String, Object> metadata) {
        emitter.sendMessage(Message.builder()
                .role(Message.Role.ROLE_AGENT)
                .messageId(UUID.randomUUID().toString())
                .contextId(request.contextId())
                .parts(parts)
                .metadata(metadata)
                .build());
    }

    private static Map<String, Object> headers(ServerCallContext call) {
        Map<?, ?> headers = (Map<?, ?>) call.getState().get("headers");
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

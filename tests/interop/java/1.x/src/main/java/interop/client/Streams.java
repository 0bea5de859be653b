/*
 * The operations whose answer is a stream.
 */
package interop.client;

import interop.Words;
import io.a2a.client.Client;
import io.a2a.client.ClientEvent;
import io.a2a.client.MessageEvent;
import io.a2a.client.TaskEvent;
import io.a2a.client.TaskUpdateEvent;
import io.a2a.spec.Message;
import io.a2a.spec.Task;
import io.a2a.spec.TaskArtifactUpdateEvent;
import io.a2a.spec.TaskIdParams;
import io.a2a.spec.TaskState;
import io.a2a.spec.TaskStatusUpdateEvent;
import io.a2a.spec.TextPart;
import java.time.Duration;
import java.util.List;

final class Streams {
    /** How soon a subscription must show the task. */
    private static final Duration PROMPT = Duration.ofSeconds(3);
    /** The agent takes 750 ms from the first event to the last; less than this means that somebody held them back. */
    private static final Duration SPREAD = Duration.ofMillis(300);

    private static final List<String> STREAMED = List.of(
            "task TASK_STATE_SUBMITTED",
            "status TASK_STATE_WORKING 'step 1'",
            "artifact 'chunk 1' append=false last=false",
            "artifact 'chunk 2' append=true last=false",
            "artifact 'chunk 3' append=true last=true",
            "status TASK_STATE_COMPLETED ''");

    /** Every event of `stream` comes, in order, as it is made. */
    static void events(Session session) throws Exception {
        Recorder recorder = new Recorder();
        List<ClientEvent> events = stream(session, Session.message("stream"), recorder);
        List<String> told = events.stream().map(Streams::tell).toList();
        Failed.unless(told.equals(STREAMED), "the events are " + told);
        Failed.unless(events.stream().map(Streams::taskId).distinct().count() == 1, "events of several tasks");
        Failed.unless(recorder.spread().compareTo(SPREAD) >= 0, "all events came within " + recorder.spread());
    }

    /** A stream of one Message, and nothing more. */
    static void echo(Session session) throws Exception {
        List<ClientEvent> events = stream(session, Session.message(Words.echoParts()), new Recorder());
        Failed.unless(events.size() == 1, "the events are " + events.stream().map(Streams::tell).toList());
        Sending.sameParts(Words.echoParts(), Session.answer(events.get(0)).parts());
    }

    /** A subscription shows the task at once, and its end. */
    static void subscribe(Session session) throws Exception {
        String task = session.begin(Session.message("wait")).id();
        Recorder recorder = new Recorder();
        try (Client client = session.client(true, false)) {
            client.subscribeToTask(new TaskIdParams(task), recorder.consumers(), recorder.errors());
            ClientEvent first = recorder.next(PROMPT);
            Failed.unless(first != null, "the stream ended at once");
            Failed.unless(task.equals(taskId(first)), "the first event is of another task");
            Lifecycle.end(session, task);
            List<String> rest = recorder.rest().stream().map(Streams::tell).toList();
            boolean canceled = !rest.isEmpty()
                    && rest.get(rest.size() - 1).contains(TaskState.TASK_STATE_CANCELED.name());
            Failed.unless(canceled, "after the cancel came " + rest);
        }
    }

    private static List<ClientEvent> stream(Session session, Message message, Recorder recorder) throws Exception {
        try (Client client = session.client(true, false)) {
            client.sendMessage(message, recorder.consumers(), recorder.errors());
            return recorder.rest();
        }
    }

    private static String tell(ClientEvent event) {
        if (event instanceof TaskEvent task) {
            return "task " + task.getTask().status().state();
        }
        if (event instanceof TaskUpdateEvent update) {
            if (update.getUpdateEvent() instanceof TaskArtifactUpdateEvent artifact) {
                return "artifact '" + text(artifact.artifact().parts().get(0)) + "' append="
                        + Boolean.TRUE.equals(artifact.append()) + " last=" + Boolean.TRUE.equals(artifact.lastChunk());
            }
            TaskStatusUpdateEvent status = (TaskStatusUpdateEvent) update.getUpdateEvent();
            Message message = status.status().message();
            return "status " + status.status().state() + " '"
                    + (message == null ? "" : text(message.parts().get(0))) + "'";
        }
        return "message " + ((MessageEvent) event).getMessage().parts();
    }

    private static String text(Object part) {
        return part instanceof TextPart text ? text.text() : String.valueOf(part);
    }

    /** The task as the SDK has it after the event. */
    static Task task(ClientEvent event) {
        return event instanceof TaskUpdateEvent update ? update.getTask() : Session.task(event);
    }

    private static String taskId(ClientEvent event) {
        return task(event).id();
    }

    private Streams() {
    }
}

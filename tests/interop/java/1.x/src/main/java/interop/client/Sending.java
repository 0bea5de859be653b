/*
 * The sends that wait for their answer.
 */
package interop.client;

import interop.Words;
import io.a2a.spec.Artifact;
import io.a2a.spec.Message;
import io.a2a.spec.Part;
import io.a2a.spec.Task;
import io.a2a.spec.TaskState;
import io.a2a.spec.TextPart;
import java.util.List;

final class Sending {
    /** Every kind of part and the metadata come back as they went. */
    static void echo(Session session) throws Exception {
        Message sent = Message.builder(Session.message(Words.echoParts()))
                .metadata(Words.echoMetadata())
                .build();
        Message answer = Session.answer(session.send(sent, null));
        Failed.unless(answer.role() == Message.Role.ROLE_AGENT, "the role is " + answer.role());
        sameParts(Words.echoParts(), answer.parts());
        Object want = Words.plainValue(Words.echoMetadata());
        Failed.unless(want.equals(Words.plainValue(answer.metadata())), "the metadata is " + answer.metadata());
    }

    /** A completed task with its artifact. */
    static void task(Session session) throws Exception {
        Task task = finished(session);
        says(task, "finished");
        hasResult(task);
    }

    /** A task that asks, and the second message that completes the same task. */
    static void input(Session session) throws Exception {
        Task asking = Session.task(session.send(Session.message("input"), null));
        inState(asking, TaskState.TASK_STATE_INPUT_REQUIRED);
        says(asking, "which one?");
        Message reply = Message.builder(Session.message("the second"))
                .taskId(asking.id())
                .contextId(asking.contextId())
                .build();
        Task done = Session.task(session.send(reply, null));
        inState(done, TaskState.TASK_STATE_COMPLETED);
        boolean same = done.id().equals(asking.id()) && done.contextId().equals(asking.contextId());
        Failed.unless(same, "another task: " + done.id() + " in " + done.contextId());
    }

    /** A task that fails, and says why. */
    static void fails(Session session) throws Exception {
        Task task = Session.task(session.send(Session.message("fail"), null));
        inState(task, TaskState.TASK_STATE_FAILED);
        says(task, "broken");
    }

    /** A task that is completed. */
    static Task finished(Session session) throws Exception {
        Task task = Session.task(session.send(Session.message("task"), null));
        inState(task, TaskState.TASK_STATE_COMPLETED);
        return task;
    }

    /** The task has ids and is in this state. */
    static void inState(Task task, TaskState state) {
        Failed.unless(task.status().state() == state, "the state is " + task.status().state() + ", not " + state);
        Failed.unless(!task.id().isEmpty() && !task.contextId().isEmpty(), "an id is empty");
    }

    /** The task has the one artifact that the agent makes for `task`. */
    static void hasResult(Task task) {
        List<Artifact> artifacts = task.artifacts();
        Failed.unless(artifacts != null && artifacts.size() == 1, "the artifacts are " + artifacts);
        Artifact artifact = artifacts.get(0);
        Failed.unless("result".equals(artifact.name()), "the artifact is named " + artifact.name());
        Failed.unless(!artifact.artifactId().isEmpty(), "the artifact has no id");
        sameParts(Words.resultParts(), artifact.parts());
    }

    /** Both lists hold the same parts. */
    static void sameParts(List<Part<?>> want, List<Part<?>> got) {
        Failed.unless(Words.plain(want).equals(Words.plain(got)), "the parts are " + Words.plain(got));
    }

    private static void says(Task task, String text) {
        Message message = task.status().message();
        boolean said = message != null && message.parts().get(0) instanceof TextPart part && part.text().equals(text);
        Failed.unless(said, "the status says " + message + ", not " + text);
    }

    private Sending() {
    }
}

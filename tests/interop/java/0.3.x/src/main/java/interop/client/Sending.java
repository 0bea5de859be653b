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
        Message sent = new Message.Builder(Session.message(Words.echoParts()))
                .metadata(Words.echoMetadata())
                .build();
        Message answer = Session.answer(session.send(sent, null));
        Failed.unless(answer.getRole() == Message.Role.AGENT, "the role is " + answer.getRole());
        sameParts(Words.echoParts(), answer.getParts());
        Object want = Words.plainValue(Words.echoMetadata());
        Failed.unless(want.equals(Words.plainValue(answer.getMetadata())), "the metadata is " + answer.getMetadata());
    }

    /** A completed task with its artifact. */
    static void task(Session session) throws Exception {
        Task task = finished(session);
        says(task, "finished");
        hasResult(task);
    }

    /** A task that asks, and the second message that completes the same task. */
    static void input(Session session) throws Exception {
        answered(session);
    }

    /** A task that is completed and has no artifact: the SDK cannot read every artifact over HTTP+JSON. */
    static Task answered(Session session) throws Exception {
        Task asking = Session.task(session.send(Session.message("input"), null));
        inState(asking, TaskState.INPUT_REQUIRED);
        says(asking, "which one?");
        Message reply = new Message.Builder(Session.message("the second"))
                .taskId(asking.getId())
                .contextId(asking.getContextId())
                .build();
        Task done = Session.task(session.send(reply, null));
        inState(done, TaskState.COMPLETED);
        boolean same = done.getId().equals(asking.getId()) && done.getContextId().equals(asking.getContextId());
        Failed.unless(same, "another task: " + done.getId() + " in " + done.getContextId());
        return done;
    }

    /** A task that fails, and says why. */
    static void fails(Session session) throws Exception {
        Task task = Session.task(session.send(Session.message("fail"), null));
        inState(task, TaskState.FAILED);
        says(task, "broken");
    }

    /** A task that is completed. */
    static Task finished(Session session) throws Exception {
        Task task = Session.task(session.send(Session.message("task"), null));
        inState(task, TaskState.COMPLETED);
        return task;
    }

    /** The task has ids and is in this state. */
    static void inState(Task task, TaskState state) {
        Failed.unless(task.getStatus().state() == state, "the state is " + task.getStatus().state() + ", not " + state);
        Failed.unless(!task.getId().isEmpty() && !task.getContextId().isEmpty(), "an id is empty");
    }

    /** The task has the one artifact that the agent makes for `task`. */
    static void hasResult(Task task) {
        List<Artifact> artifacts = task.getArtifacts();
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
        Message message = task.getStatus().message();
        boolean said = message != null
                && message.getParts().get(0) instanceof TextPart part
                && part.getText().equals(text);
        Failed.unless(said, "the status says " + message + ", not " + text);
    }

    private Sending() {
    }
}

/*
 * A push configuration is made, read, listed and deleted.
 */
package interop.client;

import io.a2a.client.Client;
import io.a2a.spec.DeleteTaskPushNotificationConfigParams;
import io.a2a.spec.GetTaskPushNotificationConfigParams;
import io.a2a.spec.ListTaskPushNotificationConfigParams;
import io.a2a.spec.PushNotificationConfig;
import io.a2a.spec.TaskPushNotificationConfig;
import java.util.List;

final class Push {
    private static final PushNotificationConfig HOOK = PushNotificationConfig.builder()
            .id("hook-1")
            .url("https://example.org/hook")
            .token("t0k")
            .build();

    static void run(Session session) throws Exception {
        String task = session.begin(Session.message("wait")).id();
        try (Client client = session.client(false, false)) {
            check(client, task);
        } finally {
            // The task would work on for half a minute.
            Lifecycle.end(session, task);
        }
    }

    private static void check(Client client, String task) throws Exception {
        TaskPushNotificationConfig config = new TaskPushNotificationConfig(task, HOOK, "");
        same("created", client.createTaskPushNotificationConfiguration(config), task);
        var get = new GetTaskPushNotificationConfigParams(task, HOOK.id());
        same("got", client.getTaskPushNotificationConfiguration(get), task);

        var list = new ListTaskPushNotificationConfigParams(task);
        List<TaskPushNotificationConfig> listed = client.listTaskPushNotificationConfigurations(list).configs();
        Failed.unless(listed.size() == 1, listed.size() + " configurations, not 1");
        same("listed", listed.get(0), task);

        client.deleteTaskPushNotificationConfigurations(new DeleteTaskPushNotificationConfigParams(task, HOOK.id()));
        int left = client.listTaskPushNotificationConfigurations(list).configs().size();
        Failed.unless(left == 0, left + " configurations after delete");
    }

    private static void same(String step, TaskPushNotificationConfig got, String task) {
        PushNotificationConfig hook = got.config();
        boolean same = got.taskId().equals(task)
                && HOOK.id().equals(hook.id())
                && HOOK.url().equals(hook.url())
                && HOOK.token().equals(hook.token());
        Failed.unless(same, step + ": id " + hook.id() + ", url " + hook.url() + ", task " + got.taskId());
    }

    private Push() {
    }
}

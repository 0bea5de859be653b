/*
 * Reads targets from stdin, runs the operations against each and prints one line per operation.
 */
package interop.client;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

public final class Targets {
    private static final Gson JSON = new GsonBuilder().disableHtmlEscaping().create();
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    /** Daemons, so that an operation that hangs does not keep the client alive. */
    private static final ExecutorService THREADS = Executors.newCachedThreadPool(work -> {
        Thread thread = new Thread(work);
        thread.setDaemon(true);
        return thread;
    });

    /** Runs until stdin ends. */
    public static void run() throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            if (!line.isBlank()) {
                target(JSON.fromJson(line, JsonObject.class));
                OUT.println(JSON.toJson(Map.of("done", true)));
            }
        }
        System.exit(0);
    }

    private static void target(JsonObject wanted) {
        double seconds = wanted.has("seconds") ? wanted.get("seconds").getAsDouble() : 15;
        Session session = null;
        Throwable refused = null;
        try {
            session = within(seconds, () ->
                    Session.open(wanted.get("base").getAsString(), wanted.get("binding").getAsString()));
        } catch (Throwable error) {
            refused = error;
        }
        for (Map.Entry<String, Operation> operation : Operation.ALL.entrySet()) {
            if (!selected(wanted, operation.getKey())) {
                continue;
            }
            Throwable failure = refused;
            if (session != null) {
                failure = outcome(seconds, operation.getValue(), session);
            }
            tell(operation.getKey(), failure);
        }
    }

    private static Throwable outcome(double seconds, Operation operation, Session session) {
        try {
            within(seconds, () -> {
                operation.run(session);
                return null;
            });
            return null;
        } catch (Throwable error) {
            return error;
        }
    }

    private static <T> T within(double seconds, Callable<T> work) throws Throwable {
        Future<T> future = THREADS.submit(work);
        try {
            return future.get((long) (seconds * 1000), TimeUnit.MILLISECONDS);
        } catch (ExecutionException error) {
            throw error.getCause();
        } catch (TimeoutException error) {
            future.cancel(true);
            throw new Failed("no end after " + seconds + " s");
        }
    }

    private static void tell(String operation, Throwable failure) {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("operation", operation);
        line.put("result", failure == null ? "pass" : failure instanceof Unsupported ? "unsupported" : "fail");
        line.put("why", failure == null ? "" : why(failure));
        OUT.println(JSON.toJson(line));
    }

    private static String why(Throwable failure) {
        if (failure instanceof Failed) {
            return failure.getMessage();
        }
        StringBuilder chain = new StringBuilder();
        for (Throwable link = failure; link != null; link = link.getCause()) {
            chain.append(chain.isEmpty() ? "" : " <- ").append(link);
            if (link.getMessage() == null && link.getStackTrace().length > 0) {
                chain.append(" at ").append(ownFrame(link.getStackTrace()));
            }
        }
        return chain.toString().replaceAll("\\s+", " ");
    }

    /** The innermost frame that is not of the JDK: an error without words says at least where it comes from. */
    private static StackTraceElement ownFrame(StackTraceElement[] frames) {
        for (StackTraceElement frame : frames) {
            if (!frame.getClassName().startsWith("java.")) {
                return frame;
            }
        }
        return frames[0];
    }

    /** `only` names operations in full, or the part before the slash for all of that kind. */
    private static boolean selected(JsonObject wanted, String name) {
        if (!wanted.has("only") || wanted.get("only").isJsonNull()) {
            return true;
        }
        List<String> only = wanted.getAsJsonArray("only").asList().stream()
                .map(word -> word.getAsString())
                .toList();
        return only.contains(name) || only.contains(name.split("/")[0]);
    }

    private Targets() {
    }
}

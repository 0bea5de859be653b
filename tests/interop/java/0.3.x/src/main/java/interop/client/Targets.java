/*
 * Reads targets from stdin, runs the operations against each and prints one line per operation.
 */
package interop.client;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

public final class Targets {
    private static final ObjectMapper JSON = new ObjectMapper();
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
                target(JSON.readTree(line));
                OUT.println(JSON.writeValueAsString(Map.of("done", true)));
            }
        }
        System.exit(0);
    }

    private static void target(JsonNode wanted) throws Exception {
        double seconds = wanted.path("seconds").asDouble(15);
        Session session = null;
        Throwable refused = null;
        try {
            session = within(seconds, () ->
                    Session.open(wanted.path("base").asText(), wanted.path("binding").asText()));
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

    private static void tell(String operation, Throwable failure) throws Exception {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("operation", operation);
        line.put("result", failure == null ? "pass" : failure instanceof Unsupported ? "unsupported" : "fail");
        line.put("why", failure == null ? "" : why(failure));
        OUT.println(JSON.writeValueAsString(line));
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
    private static boolean selected(JsonNode wanted, String name) {
        if (!wanted.path("only").isArray()) {
            return true;
        }
        for (JsonNode word : wanted.path("only")) {
            if (word.asText().equals(name) || word.asText().equals(name.split("/")[0])) {
                return true;
            }
        }
        return false;
    }

    private Targets() {
    }
}

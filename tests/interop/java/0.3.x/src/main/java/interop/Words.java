/*
 * The parts that both ends agree on, and a plain form of parts that can be compared.
 */
package interop;

import io.a2a.spec.DataPart;
import io.a2a.spec.FilePart;
import io.a2a.spec.FileWithBytes;
import io.a2a.spec.FileWithUri;
import io.a2a.spec.Part;
import io.a2a.spec.TextPart;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

public final class Words {
    /** The extension that the client may ask for. */
    public static final String EXTENSION = "urn:interop:ext";

    /** The largest integer that a double holds exactly: what a Struct on the wire can still carry. */
    private static final long BIG = 9007199254740991L;
    private static final String BYTES =
            Base64.getEncoder().encodeToString(new byte[] {0x00, 0x01, (byte) 0xFE, (byte) 0xFF});

    /** The four parts of the artifact that the agent makes for `task`. */
    public static List<Part<?>> resultParts() {
        Map<String, Object> data = new LinkedHashMap<>(Map.of("n", 1, "f", 1.5, "big", BIG, "s", "ü", "o", Map.of()));
        data.put("list", Arrays.asList(1, null, true));
        return List.of(
                new TextPart("done ü"),
                new DataPart(data),
                new FilePart(new FileWithBytes("application/octet-stream", "a.bin", BYTES)),
                new FilePart(new FileWithUri("image/png", null, "https://example.org/x.png")));
    }

    /** The four parts that the client sends for `echo`. */
    public static List<Part<?>> echoParts() {
        Map<String, Object> nothing = new LinkedHashMap<>();
        nothing.put("b", null);
        Object deep = Map.of("a", List.of(1, List.of(2, nothing)));
        return List.of(
                new TextPart("echo ü€😀"),
                new DataPart(Map.of("n", 1, "f", 1.5, "big", BIG, "deep", deep)),
                new FilePart(new FileWithBytes("application/octet-stream", "b.bin", BYTES)),
                new FilePart(new FileWithUri("application/pdf", null, "https://example.org/y.pdf")));
    }

    /** The metadata that the client sends with `echo`. */
    public static Map<String, Object> echoMetadata() {
        return Map.of("k", "v", "n", 7);
    }

    /** Parts as plain lists and maps, so that equal parts are equal objects. */
    public static List<Object> plain(List<Part<?>> parts) {
        List<Object> all = new ArrayList<>();
        for (Part<?> part : parts) {
            all.add(plainPart(part));
        }
        return all;
    }

    /** A JSON value in which numbers are equal by value: 1 and 1.0 are one number in a Struct. */
    public static Object plainValue(Object value) {
        if (value instanceof Number number) {
            return number.doubleValue();
        }
        if (value instanceof List<?> list) {
            return new ArrayList<>(list.stream().map(Words::plainValue).toList());
        }
        if (value instanceof Map<?, ?> map) {
            Map<Object, Object> plain = new LinkedHashMap<>();
            map.forEach((key, item) -> plain.put(key, plainValue(item)));
            return plain;
        }
        return value;
    }

    private static Object plainPart(Part<?> part) {
        if (part instanceof TextPart text) {
            return Map.of("text", text.getText());
        }
        if (part instanceof DataPart data) {
            return Map.of("data", plainValue(data.getData()));
        }
        if (part instanceof FilePart file && file.getFile() instanceof FileWithBytes bytes) {
            return Map.of("bytes", bytes.bytes(), "name", word(bytes.name()), "type", word(bytes.mimeType()));
        }
        if (part instanceof FilePart file && file.getFile() instanceof FileWithUri uri) {
            return Map.of("uri", uri.uri(), "name", word(uri.name()), "type", word(uri.mimeType()));
        }
        return String.valueOf(part);
    }

    /** An empty name or type and an absent one are the same thing in protobuf. */
    private static String word(String word) {
        return word == null ? "" : word;
    }

    private Words() {
    }
}

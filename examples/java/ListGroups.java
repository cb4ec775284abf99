// List your number groups page by page, with Java 17 or newer and no library.
//
//   export OPENPNS_BASE_URL=https://pns.example.com
//   export OPENPNS_ACCESS_KEY=... OPENPNS_ACCESS_SECRET=...
//   java ListGroups.java
//
// OPENPNS_ALGORITHM=sha256 signs with SHA-256 instead of MD5.

import java.io.PrintStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.HexFormat;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

public class ListGroups {
    static final int PAGE_SIZE = 2;
    static final Map<String, String> ENV = System.getenv();
    static final String ACCESS_KEY = ENV.getOrDefault("OPENPNS_ACCESS_KEY", "");
    static final String ACCESS_SECRET = ENV.getOrDefault("OPENPNS_ACCESS_SECRET", "");
    static final String ALGORITHM = ENV.getOrDefault("OPENPNS_ALGORITHM", "md5");
    static final HttpClient HTTP =
        HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(30)).build();

    // Java has no JSON parser of its own; in your code, use a JSON library instead of these.
    // The fields of a group always stand in this order.
    static final Pattern SUCCESS = Pattern.compile("^\\{\"code\":0,");
    static final Pattern TOTAL = Pattern.compile("\"total\":([0-9]+)");
    static final Pattern GROUP = Pattern.compile(
        "\"groupName\":\"((?:[^\"\\\\]|\\\\.)*)\",\"groupId\":\"([^\"]*)\",\"phones\":\"([^\"]*)\"");

    static String sign(String action, String ts, String body) throws Exception {
        String text = "accessKey=" + ACCESS_KEY + "&action=" + action + "&bizType=5&ts=" + ts
            + "&body=" + body + "&accessSecret=" + ACCESS_SECRET;
        String digest = ALGORITHM.equals("sha256") ? "SHA-256" : "MD5";
        byte[] sum = MessageDigest.getInstance(digest)
            .digest(text.getBytes(StandardCharsets.UTF_8));
        return HexFormat.of().formatHex(sum);
    }

    /** Send one request. The signed text is sent as the body. */
    static String send(String action, String body) throws Exception {
        String ts = String.valueOf(System.currentTimeMillis());
        HttpRequest request = HttpRequest
            .newBuilder(URI.create(ENV.get("OPENPNS_BASE_URL")).resolve("/api/pns/"))
            .timeout(Duration.ofSeconds(30))
            .header("accessKey", ACCESS_KEY)
            .header("action", action)
            .header("bizType", "5")
            .header("ts", ts)
            .header("sign", sign(action, ts, body))
            .header("algorithm", ALGORITHM)
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString(body, StandardCharsets.UTF_8))
            .build();
        String response = HTTP
            .send(request, HttpResponse.BodyHandlers.ofString(StandardCharsets.UTF_8))
            .body();
        if (!SUCCESS.matcher(response).find()) {
            throw new IllegalStateException(response);
        }
        return response;
    }

    static String list(int limit, long offset) throws Exception {
        return send("listGroup", "{\"limit\":" + limit + ",\"offset\":" + offset + "}");
    }

    static long total(String response) {
        Matcher found = TOTAL.matcher(response);
        if (!found.find()) {
            throw new IllegalStateException("the response has no total");
        }
        return Long.parseLong(found.group(1));
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        long total = total(list(1, 0));
        out.println(total + " groups");
        long phones = 0;
        for (long offset = 0; offset < total; ) {
            String page = list(PAGE_SIZE, offset);
            long before = offset;
            for (Matcher group = GROUP.matcher(page); group.find(); offset++) {
                String text = group.group(3);
                int count = text.isEmpty() ? 0 : text.split(",").length;
                out.println(group.group(2) + "  " + count + " phones  " + group.group(1));
                phones += count;
            }
            if (offset == before) {
                break;
            }
            total = total(page);
        }
        out.println(phones + " phones in all");
    }
}

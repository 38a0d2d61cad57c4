import io.spiffe.exception.X509ContextException;
import io.spiffe.workloadapi.DefaultWorkloadApiClient;
import io.spiffe.workloadapi.Watcher;
import io.spiffe.workloadapi.WorkloadApiClient;
import io.spiffe.workloadapi.X509Context;
import java.math.BigInteger;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.logging.LogManager;
import java.util.stream.Collectors;

/**
 * Asks a Workload API with java-spiffe and writes what it saw, one JSON object a line: Judge live SOCKET AUDIENCE.
 *
 * It holds no opinion of its own: what to expect is the caller's business.
 */
public final class Judge {
    private static final long POLL_MILLIS = 200;

    private static String quote(String text) {
        return '"' + text.replaceAll("[\\p{Cntrl}\"\\\\]", " ") + '"';
    }

    private static synchronized void say(String step, String more) {
        System.out.println("{\"step\":" + quote(step) + more + "}");
        System.out.flush();
    }

    private static String ids(List<String> ids) {
        return ",\"ids\":[" + ids.stream().map(Judge::quote).collect(Collectors.joining(",")) + "]";
    }

    private static String said(Throwable error) {
        return ",\"said\":" + quote(error + (error.getCause() == null ? "" : " by " + error.getCause()));
    }

    private static void tokens(WorkloadApiClient client, String audience) {
        try {
            for (var svid : client.fetchJwtSvids(audience)) {
                var validated = client.validateJwtSvid(svid.getToken(), audience);
                say("jwt", ids(List.of(validated.getSpiffeId().toString())));
                try {
                    client.validateJwtSvid(svid.getToken(), audience + "/other");
                } catch (Exception error) {
                    say("audience-refused", said(error));
                }
            }
        } catch (Exception error) {
            say("jwt-refused", said(error));
        }
    }

    /** Its watch tries again for ever and says nothing of a refusal, so that the end of an identity is seen by asking. */
    private static void watch(WorkloadApiClient client) throws InterruptedException {
        Set<BigInteger> seen = new LinkedHashSet<>();
        var rotated = new CountDownLatch(2);
        client.watchX509Context(new Watcher<X509Context>() {
            @Override
            public void onUpdate(X509Context context) {
                if (!seen.add(context.getDefaultSvid().getLeaf().getSerialNumber())) return;
                say(seen.size() == 1 ? "watching" : "rotated", "");
                rotated.countDown();
            }

            @Override
            public void onError(Throwable error) {
                say("watch-ended", said(error));
            }
        });
        rotated.await();
        try {
            while (true) {
                client.fetchX509Context();
                Thread.sleep(POLL_MILLIS);
            }
        } catch (X509ContextException error) {
            say("withdrawn", said(error));
        }
    }

    public static void main(String[] words) throws Exception {
        LogManager.getLogManager().reset();
        var options = DefaultWorkloadApiClient.ClientOptions.builder().spiffeSocketPath(words[1]).build();
        boolean isServed = true;
        try (var client = DefaultWorkloadApiClient.newClient(options)) {
            try {
                var context = client.fetchX509Context();
                say("x509", ids(context.getX509Svids().stream().map(svid -> svid.getSpiffeId().toString()).toList()));
            } catch (Exception error) {
                isServed = false;
                say("x509-refused", said(error));
            }
            tokens(client, words[2]);
            try {
                var domains = client.fetchX509Bundles().getBundles().keySet();
                say("bundles", ",\"domains\":[" + domains.stream().map(domain -> quote(domain.getName())).collect(Collectors.joining(",")) + "]");
            } catch (Exception error) {
                say("bundles-refused", said(error));
            }
            if (isServed) watch(client);
        }
        System.exit(0);
    }
}

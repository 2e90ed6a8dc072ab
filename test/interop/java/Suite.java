import com.google.gson.Gson;
import com.google.gson.JsonElement;
import com.microsoft.azure.sdk.iot.device.DeviceClient;
import com.microsoft.azure.sdk.iot.device.IotHubClientProtocol;
import com.microsoft.azure.sdk.iot.device.IotHubStatusCode;
import com.microsoft.azure.sdk.iot.device.exceptions.IotHubClientException;
import com.microsoft.azure.sdk.iot.device.twin.DirectMethodResponse;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;

/** What the suites share: a device of their own, and waiting. */
abstract class Suite {
    static final String CONNECTION_STRING = env("IOTHUB_CONNECTION_STRING"); // these are set by the Go test: see main_test.go
    static final String DEVICE_ID = env("DEVICE_ID");
    static final String OFFLINE_DEVICE_ID = env("OFFLINE_DEVICE_ID");
    static final boolean CANCELS_RUNNING_JOBS = Boolean.parseBoolean(env("CANCELS_RUNNING_JOBS"));
    static final Gson GSON = new Gson();

    /** What the device got. */
    static final List<JsonElement> calls = new CopyOnWriteArrayList<>();
    static final List<Map<String, Object>> patches = new CopyOnWriteArrayList<>();
    static DeviceClient device;
    static final int ANSWER_MILLISECONDS = 5000;

    @BeforeAll
    static void connect() throws Exception {
        device = new DeviceClient(env("DEVICE_CONNECTION_STRING"), IotHubClientProtocol.MQTT);
        device.open(true);
        device.subscribeToMethods((name, payload, context) -> {
            if (name.equals("slow")) pause(3000);
            calls.add(payload.getPayloadAsJsonElement());
            return new DirectMethodResponse(200, Map.of("result", "door locked"));
        }, null);
        device.subscribeToDesiredProperties((twin, context) -> patches.add(twin.getDesiredProperties()), null);
        answered(() -> device.getTwin(ANSWER_MILLISECONDS));
    }

    @AfterAll
    static void disconnect() {
        device.close();
    }

    static String env(String name) {
        return Objects.requireNonNull(System.getenv(name), name);
    }

    static String newId() {
        return "java-" + UUID.randomUUID();
    }

    /** Calls look until it gives something, and gives that. */
    static <T> T until(String what, Callable<T> look) throws Exception {
        for (long end = System.nanoTime() + 60_000_000_000L; ; pause(100)) {
            T found = look.call();
            if (found != null) return found;
            if (System.nanoTime() > end) throw new AssertionError("waited in vain for " + what);
        }
    }

    /**
     * Makes the device ask until it has heard the answer. The SDK (2.5.0) loses one in a hundred or so: the thread that got it queues it for
     * another before it looks up who waits for it, and the other may have forgotten him by then (IotHubTransport.onMessageReceived,
     * acknowledgeReceivedMessage).
     */
    static <T> T answered(Callable<T> request) throws Exception {
        for (int attempt = 1; ; attempt++) {
            try {
                return request.call();
            } catch (IotHubClientException e) {
                if (e.getStatusCode() != IotHubStatusCode.DEVICE_OPERATION_TIMED_OUT || attempt == 12) throw e;
            }
        }
    }

    private static void pause(long milliseconds) {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }
}

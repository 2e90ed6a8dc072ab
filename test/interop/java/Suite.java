import com.google.gson.Gson;
import com.google.gson.JsonElement;
import com.microsoft.azure.sdk.iot.device.DeviceClient;
import com.microsoft.azure.sdk.iot.device.IotHubClientProtocol;
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
        device.getTwin();
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

    private static void pause(long milliseconds) {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }
}

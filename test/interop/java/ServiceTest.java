import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.microsoft.azure.sdk.iot.device.twin.TwinCollection;
import com.microsoft.azure.sdk.iot.service.exceptions.IotHubBadFormatException;
import com.microsoft.azure.sdk.iot.service.exceptions.IotHubNotFoundException;
import com.microsoft.azure.sdk.iot.service.exceptions.IotHubPreconditionFailedException;
import com.microsoft.azure.sdk.iot.service.methods.DirectMethodRequestOptions;
import com.microsoft.azure.sdk.iot.service.methods.DirectMethodResponse;
import com.microsoft.azure.sdk.iot.service.methods.DirectMethodsClient;
import com.microsoft.azure.sdk.iot.service.query.QueryClient;
import com.microsoft.azure.sdk.iot.service.query.QueryPageOptions;
import com.microsoft.azure.sdk.iot.service.query.TwinQueryResponse;
import com.microsoft.azure.sdk.iot.service.registry.Device;
import com.microsoft.azure.sdk.iot.service.registry.RegistryClient;
import com.microsoft.azure.sdk.iot.service.twin.Twin;
import com.microsoft.azure.sdk.iot.service.twin.TwinClient;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

/** The service's other clients, with a device of iot-device-client: what a back end does beside jobs. */
class ServiceTest extends Suite {
    private static final DirectMethodRequestOptions LOCK = DirectMethodRequestOptions.builder()
        .payload(Map.of("lockTime", "5m")).methodResponseTimeoutSeconds(10).methodConnectTimeoutSeconds(0).build(); // by default it waits 200 s for a device

    private final DirectMethodsClient methods = new DirectMethodsClient(CONNECTION_STRING);
    private final TwinClient twins = new TwinClient(CONNECTION_STRING);
    private final RegistryClient registry = new RegistryClient(CONNECTION_STRING);
    private final QueryClient queries = new QueryClient(CONNECTION_STRING);

    @Test
    @DisplayName("a direct method is answered by the device")
    void method() throws Exception {
        DirectMethodResponse answer = methods.invoke(DEVICE_ID, "lockDoor", LOCK);
        assertEquals(200, answer.getStatus());
        assertEquals("door locked", answer.getPayload(JsonObject.class).get("result").getAsString());
    }

    @Test
    @DisplayName("methods fail as they do at IoT Hub")
    void faults() {
        assertThrows(IotHubNotFoundException.class, () -> methods.invoke("ghost", "lockDoor", LOCK));
        assertThrows(IotHubNotFoundException.class, () -> methods.invoke(OFFLINE_DEVICE_ID, "lockDoor", LOCK));
    }

    @Test
    @DisplayName("desired properties go to the device, reported ones come back")
    void twin() throws Exception {
        String run = newId();
        Twin twin = twins.get(DEVICE_ID);
        String stale = twin.getETag();
        twin.getDesiredProperties().put("run", run);
        assertEquals(run, twins.patch(twin).getDesiredProperties().get("run"));
        until("the patch", () -> patches.stream().filter(p -> run.equals(p.get("run"))).findAny().orElse(null));
        assertThrows(IotHubPreconditionFailedException.class, () -> twins.patch(twin, stale));

        TwinCollection reported = answered(() -> device.getTwin(ANSWER_MILLISECONDS)).getReportedProperties();
        reported.put("run", run);
        answered(() -> device.updateReportedProperties(reported, ANSWER_MILLISECONDS));
        assertEquals(run, twins.get(DEVICE_ID).getReportedProperties().get("run"));
    }

    @Test
    @DisplayName("devices are created, read and deleted")
    void devices() throws Exception {
        Device made = registry.addDevice(new Device(newId()));
        assertEquals(made.getPrimaryKey(), registry.getDevice(made.getDeviceId()).getPrimaryKey());
        registry.removeDevice(made.getDeviceId());
        assertThrows(IotHubNotFoundException.class, () -> registry.getDevice(made.getDeviceId()));
        assertTrue(registry.getStatistics().getTotalDeviceCount() >= 20);
    }

    @Test
    @DisplayName("queries give twins, in pages")
    void queries() throws Exception {
        Set<String> ids = new HashSet<>();
        TwinQueryResponse response = queries.queryTwins("SELECT * FROM devices WHERE STARTSWITH(deviceId, 'dev-')",
            QueryPageOptions.builder().pageSize(7).build());
        while (response.hasNext()) ids.add(response.next().getDeviceId());
        assertTrue(ids.size() >= 20, ids.toString());
        assertThrows(IotHubBadFormatException.class, () -> queries.queryTwins("SELECT * FROM nonsense"));
    }
}

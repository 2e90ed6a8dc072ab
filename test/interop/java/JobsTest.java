import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.microsoft.azure.sdk.iot.service.exceptions.IotHubException;
import com.microsoft.azure.sdk.iot.service.exceptions.IotHubUnauthorizedException;
import com.microsoft.azure.sdk.iot.service.jobs.DirectMethodsJobOptions;
import com.microsoft.azure.sdk.iot.service.jobs.ScheduledJob;
import com.microsoft.azure.sdk.iot.service.jobs.ScheduledJobStatus;
import com.microsoft.azure.sdk.iot.service.jobs.ScheduledJobType;
import com.microsoft.azure.sdk.iot.service.jobs.ScheduledJobsClient;
import com.microsoft.azure.sdk.iot.service.query.JobQueryResponse;
import com.microsoft.azure.sdk.iot.service.query.QueryClient;
import com.microsoft.azure.sdk.iot.service.query.QueryPageOptions;
import com.microsoft.azure.sdk.iot.service.query.RawQueryResponse;
import com.microsoft.azure.sdk.iot.service.twin.Twin;
import java.util.ArrayList;
import java.util.Date;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;

/**
 * ScheduledJobsClient, and QueryClient over devices.jobs, against whatever runs the jobs: the hub simulator's own engine or the
 * function app.
 */
class JobsTest extends Suite {
    private static final String MINE = "deviceId IN ['" + DEVICE_ID + "']";
    private static final Set<ScheduledJobStatus> ENDED =
        EnumSet.of(ScheduledJobStatus.completed, ScheduledJobStatus.failed, ScheduledJobStatus.cancelled);

    private final ScheduledJobsClient jobs = new ScheduledJobsClient(CONNECTION_STRING);
    private final QueryClient queries = new QueryClient(CONNECTION_STRING);

    private ScheduledJob call(String condition, String method, Date start) throws Exception {
        DirectMethodsJobOptions options = DirectMethodsJobOptions.builder()
            .payload(Map.of("lockTime", "10m")).methodResponseTimeoutSeconds(15).methodConnectTimeoutSeconds(0).maxExecutionTimeSeconds(60).build();
        return jobs.scheduleDirectMethod(newId(), condition, method, start, options);
    }

    private ScheduledJob ended(ScheduledJob job) throws Exception {
        return until("the end of " + job.getJobId(), () -> {
            ScheduledJob now = jobs.get(job.getJobId());
            return ENDED.contains(now.getJobStatus()) ? now : null;
        });
    }

    private void becomes(ScheduledJob job, ScheduledJobStatus status) throws Exception {
        until(status.name(), () -> jobs.get(job.getJobId()).getJobStatus() == status ? job : null);
    }

    private static Date inAnHour() {
        return new Date(System.currentTimeMillis() + 3_600_000);
    }

    /** The rows of a query over devices.jobs, in pages of size. */
    private List<JsonObject> rows(String condition, int size) throws Exception {
        RawQueryResponse response =
            queries.queryRaw("SELECT * FROM devices.jobs WHERE " + condition, QueryPageOptions.builder().pageSize(size).build());
        List<JsonObject> rows = new ArrayList<>();
        while (response.hasNext()) rows.add(GSON.fromJson(response.next(), JsonObject.class));
        return rows;
    }

    @Test
    @DisplayName("a method job reaches the device, and its answer can be queried")
    void method() throws Exception {
        Date start = new Date();
        ScheduledJob created = call(MINE, "lockDoor", start);
        assertEquals(ScheduledJobType.scheduleDeviceMethod, created.getJobType());
        ScheduledJob job = ended(created);
        assertEquals(ScheduledJobStatus.completed, job.getJobStatus());
        assertEquals(MINE, job.getQueryCondition());
        assertEquals(60, job.getMaxExecutionTimeInSeconds());
        assertTrue(Math.abs(job.getStartTime().getTime() - start.getTime()) < 5000, job.getStartTime().toString());
        assertFalse(job.getCreatedTime().after(job.getEndTime()));
        assertEquals(1, job.getJobStatistics().getDeviceCount());
        assertEquals(1, job.getJobStatistics().getSucceededCount());
        JsonObject method = GSON.fromJson(job.getCloudToDeviceMethod(), JsonObject.class);
        assertEquals("lockDoor", method.get("methodName").getAsString());
        assertEquals("10m", calls.get(calls.size() - 1).getAsJsonObject().get("lockTime").getAsString());

        JsonObject row = rows("devices.jobs.jobId = '" + job.getJobId() + "'", 100).get(0);
        assertEquals(DEVICE_ID, row.get("deviceId").getAsString());
        JsonObject answer = row.getAsJsonObject("outcome").getAsJsonObject("deviceMethodResponse");
        assertEquals("door locked", answer.getAsJsonObject("payload").get("result").getAsString());
    }

    @Test
    @DisplayName("a twin job changes desired properties")
    void twin() throws Exception {
        String run = newId();
        Twin twin = new Twin();
        twin.setETag("*");
        twin.getDesiredProperties().put("run", run);
        ScheduledJob job = ended(jobs.scheduleUpdateTwin(run, MINE, twin, new Date(), 60));
        assertEquals(ScheduledJobStatus.completed, job.getJobStatus());
        assertEquals(ScheduledJobType.scheduleUpdateTwin, job.getJobType());
        assertEquals(1, job.getJobStatistics().getSucceededCount());
        assertEquals(run, job.getUpdateTwin().getDesiredProperties().get("run"));
        until("the patch", () -> patches.stream().filter(p -> run.equals(p.get("run"))).findAny().orElse(null));
    }

    @Test
    @DisplayName("a job for later is scheduled, is listed, and can be cancelled")
    void later() throws Exception {
        ScheduledJob created = call(MINE, "lockDoor", inAnHour());
        becomes(created, ScheduledJobStatus.scheduled);
        Set<String> listed = new HashSet<>();
        JobQueryResponse response = jobs.query(ScheduledJobType.scheduleDeviceMethod, ScheduledJobStatus.scheduled,
            QueryPageOptions.builder().pageSize(1).build());
        while (response.hasNext()) listed.add(response.next().getJobId());
        assertTrue(listed.contains(created.getJobId()), listed.toString());
        assertEquals(created.getJobId(), jobs.cancel(created.getJobId()).getJobId());
        assertEquals(ScheduledJobStatus.cancelled, ended(created).getJobStatus());
    }

    @Test
    @DisplayName("a running job")
    void running() throws Exception {
        ScheduledJob created = call(MINE, "slow", new Date());
        becomes(created, ScheduledJobStatus.running);
        if (CANCELS_RUNNING_JOBS) {
            jobs.cancel(created.getJobId());
            assertEquals(ScheduledJobStatus.cancelled, ended(created).getJobStatus());
            return;
        }
        assertThrows(IotHubException.class, () -> jobs.cancel(created.getJobId()));
        assertEquals(ScheduledJobStatus.completed, ended(created).getJobStatus());
    }

    @Test
    @DisplayName("a device that is not connected fails, and the job completes")
    void offline() throws Exception {
        ScheduledJob job = ended(call("deviceId = '" + OFFLINE_DEVICE_ID + "'", "lockDoor", new Date()));
        assertEquals(ScheduledJobStatus.completed, job.getJobStatus());
        assertEquals(1, job.getJobStatistics().getFailedCount());
        String failed = "devices.jobs.jobId = '" + job.getJobId() + "' AND devices.jobs.status = 'failed'";
        // The SDK's own type for such rows expects the job's method in the row of each device, and breaks at IoT Hub's form.
        assertThrows(NullPointerException.class, () -> queries.queryJobs("SELECT * FROM devices.jobs WHERE " + failed));
        List<JsonObject> rows = rows(failed, 100);
        assertEquals(1, rows.size());
        assertEquals("DeviceNotOnline", rows.get(0).getAsJsonObject("error").get("code").getAsString());
    }

    @Test
    @DisplayName("rows of devices come in pages")
    void pages() throws Exception {
        ScheduledJob job = ended(call("STARTSWITH(deviceId, 'dev-')", "lockDoor", new Date()));
        int devices = job.getJobStatistics().getDeviceCount();
        assertTrue(devices >= 20, "devices: " + devices);
        assertEquals(devices, rows("devices.jobs.jobId = '" + job.getJobId() + "'", 7).size());
    }

    @Test
    @DisplayName("faults")
    void faults() throws Exception {
        ScheduledJob taken = call(MINE, "lockDoor", inAnHour());
        assertThrows(IotHubException.class, () -> jobs.scheduleDirectMethod(taken.getJobId(), MINE, "lockDoor", new Date()));
        jobs.cancel(taken.getJobId());
        assertThrows(IotHubException.class, () -> jobs.scheduleDirectMethod("no_underscores", MINE, "lockDoor", new Date()));
        assertThrows(IllegalArgumentException.class, () -> jobs.get(newId())); // the SDK's parser wants a type, which "unknown" has not
        String forged = CONNECTION_STRING.replaceAll("SharedAccessKey=[^;]*", "SharedAccessKey=Zm9yZ2Vk");
        assertThrows(IotHubUnauthorizedException.class, () -> new ScheduledJobsClient(forged).get("any"));
    }
}

"""azure-iot-hub's registry manager, with a device of azure-iot-device: what a back end does beside jobs."""

import base64
import unittest
import uuid

from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod, QuerySpecification, Twin, TwinProperties
from msrest.exceptions import HttpOperationError

from suite import CONNECTION_STRING, DEVICE_ID, OFFLINE_DEVICE_ID, Device, until


class Service(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.registry = IoTHubRegistryManager.from_connection_string(CONNECTION_STRING)
        cls.device = Device()

    @classmethod
    def tearDownClass(cls):
        cls.device.client.shutdown()

    def refused(self, call, *arguments):
        with self.assertRaises(HttpOperationError) as caught:
            call(*arguments)
        return caught.exception.response.status_code

    def test_a_direct_method_is_answered_by_the_device(self):
        method = CloudToDeviceMethod(method_name="lockDoor", payload={"lockTime": "5m"}, response_timeout_in_seconds=10)
        answer = self.registry.invoke_device_method(DEVICE_ID, method)
        self.assertEqual((answer.status, answer.payload), (200, {"result": "door locked", "got": {"lockTime": "5m"}}))

    def test_methods_fail_as_they_do_at_iot_hub(self):
        method = CloudToDeviceMethod(method_name="unheard", response_timeout_in_seconds=5, connect_timeout_in_seconds=0)
        self.assertEqual(self.refused(self.registry.invoke_device_method, "ghost", method), 404)
        self.assertEqual(self.refused(self.registry.invoke_device_method, OFFLINE_DEVICE_ID, method), 404)
        self.assertEqual(self.refused(self.registry.invoke_device_method, DEVICE_ID, method), 504)

    def test_desired_properties_go_to_the_device_and_reported_ones_come_back(self):
        run = str(uuid.uuid4())
        twin = self.registry.get_twin(DEVICE_ID)
        patch = Twin(properties=TwinProperties(desired={"run": run}))
        updated = self.registry.update_twin(DEVICE_ID, patch, twin.etag)
        self.assertEqual(updated.properties.desired["run"], run)
        self.assertEqual(self.refused(self.registry.update_twin, DEVICE_ID, patch, twin.etag), 412)
        until("the patch", lambda: [p for p in self.device.patches if p.get("run") == run])
        self.device.client.patch_twin_reported_properties({"run": run})
        self.assertEqual(self.registry.get_twin(DEVICE_ID).properties.reported["run"], run)
        self.assertEqual(self.device.client.get_twin()["desired"]["run"], run)

    def test_devices_are_created_read_changed_and_deleted(self):
        device_id = f"made-{uuid.uuid4()}"
        key = base64.b64encode(uuid.uuid4().bytes * 2).decode()
        created = self.registry.create_device_with_sas(device_id, key, key, "enabled")
        self.assertEqual(created.authentication.symmetric_key.primary_key, key)
        changed = self.registry.update_device_with_sas(device_id, created.etag, key, key, "disabled")
        self.assertEqual(changed.status, "disabled")
        self.assertEqual(self.registry.get_device(device_id).status, "disabled")
        self.assertIn(device_id, [device.device_id for device in self.registry.get_devices()])
        self.registry.delete_device(device_id)
        self.assertEqual(self.refused(self.registry.get_device, device_id), 404)

    def test_queries_give_twins_in_pages(self):
        query = QuerySpecification(query="SELECT * FROM devices WHERE STARTSWITH(deviceId, 'dev-')")
        ids, token = set(), None
        for _ in range(50):
            page = self.registry.query_iot_hub(query, token, 7)
            self.assertEqual(page.type, "Twin")
            ids |= {twin.device_id for twin in page.items}
            token = page.continuation_token
            if not token:
                break
        self.assertGreaterEqual(len(ids), 20)
        self.assertEqual(self.refused(self.registry.query_iot_hub, QuerySpecification(query="SELECT nonsense nonsense")), 400)

    def test_statistics(self):
        self.assertGreaterEqual(self.registry.get_device_registry_statistics().total_device_count, 20)
        self.assertGreaterEqual(self.registry.get_service_statistics().connected_device_count, 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)

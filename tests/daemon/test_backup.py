"""A copy of the host's database, taken while it runs, is enough to go on from."""
import shutil
import stat
import unittest

from cluster import Host, OwnCluster, shared
from process import work_dir


class Backup(OwnCluster):
    NAME = "backup"

    def backup(self, file):
        return self.host.cli("riverbox", "host", "backup", file)

    def test_a_copy_is_complete_and_another_host_goes_on_from_it(self):
        task = self.host.submit("echo kept", container_name=self.environment, required_cores=0)
        self.host.wait_task(task)
        running = self.host.submit("sleep 300", container_name=self.environment, required_cores=0)
        self.addCleanup(lambda: self.host.http("POST", f"/kill/{running}"))
        waiting = self.host.submit("true", container_name=self.environment, required_cores=0, after=[running])
        copy = work_dir() / "copy of 'host'.db"
        done = self.backup(copy)
        self.assertEqual((done.code, done.out), (0, f"Copied to {copy}.\n"), done)
        self.assertEqual(stat.S_IMODE(copy.stat().st_mode), 0o600)
        self.assertEqual([p.name for p in work_dir().glob(".riverbox-*")], [])
        other = Host(shared().host_engine, work_dir() / "backup-other-share", name="backup-other", start=False)
        (other.home / "state").mkdir()
        shutil.copy(copy, other.home / "state" / "host.db")
        other.start()
        self.addCleanup(other.stop)
        self.assertEqual(other.status(task)["status"], "completed")
        self.assertEqual(other.status(waiting)["status"], "pending")
        self.assertIn(self.node, other.nodes())

    # fault: goes-back
    def test_a_task_that_was_started_after_the_copy_is_found_where_it_runs(self):
        self.host.cli("riverbox", "node", "drain", self.node, check=True)
        task = self.host.submit("echo started; sleep 300", container_name=self.environment, required_cores=0)
        copy = work_dir() / "before.db"
        self.assertEqual(self.backup(copy).code, 0)
        self.host.cli("riverbox", "node", "resume", self.node, check=True)
        self.host.wait_task(task, ("running",))
        self.host.kill()
        state = self.host.home / "state"
        for file in state.glob("host.db*"):
            file.unlink()
        shutil.copy(copy, state / "host.db")
        self.host.start()
        self.host.wait_task(task, ("running",), 60)
        self.host.wait_online(self.node)
        self.host.cli("riverbox", "node", "resume", self.node, check=True)  # drained, as it was
        self.assertEqual(self.host.http("POST", f"/api/kill/{task}")[0], 202)
        self.host.wait_task(task, ("killed",), 60)
        self.assertEqual((self.host.share / f"task_outputs/{task}.out").read_text(), "started\n", "once")

    def test_nothing_is_overwritten_and_nothing_is_left(self):
        there = work_dir() / "precious"
        there.write_text("mine")
        refused = self.backup(there)
        self.assertNotEqual(refused.code, 0)
        self.assertIn("exists already", refused.err)
        self.assertEqual(there.read_text(), "mine")
        nowhere = self.backup(work_dir() / "no such folder" / "x.db")
        self.assertNotEqual(nowhere.code, 0)
        self.assertIn("no such folder", nowhere.err)

    def test_no_database(self):
        other = Host(shared().host_engine, work_dir() / "backup-none-share", name="backup-none", start=False)
        missing = other.cli("riverbox", "host", "backup", work_dir() / "never.db")
        self.assertNotEqual(missing.code, 0)
        self.assertIn("there is no database", missing.err)
        self.assertFalse((work_dir() / "never.db").exists())


if __name__ == "__main__":
    unittest.main()

"""What is old goes by itself, and the history of a HakuRiver host is taken over."""
import sqlite3
import unittest

from cluster import Host
from process import wait_until, work_dir

CLASSIC = """
CREATE TABLE node (hostname VARCHAR(255) NOT NULL PRIMARY KEY, url VARCHAR(255) NOT NULL);
CREATE TABLE task (task_id BIGINT NOT NULL PRIMARY KEY, task_type VARCHAR(255) NOT NULL, batch_id BIGINT, command TEXT NOT NULL, arguments TEXT NOT NULL, env_vars TEXT NOT NULL,
  required_cores INTEGER NOT NULL, required_gpus TEXT, status VARCHAR(255) NOT NULL, assigned_node_id VARCHAR(255), stdout_path TEXT, stderr_path TEXT, exit_code INTEGER,
  error_message TEXT, submitted_at DATETIME NOT NULL, started_at DATETIME, completed_at DATETIME, assignment_suspicion_count INTEGER NOT NULL, required_memory_bytes BIGINT,
  systemd_unit_name VARCHAR(255), target_numa_node_id INTEGER, ssh_port INTEGER, container_name VARCHAR(255), docker_image_name VARCHAR(255), docker_privileged INTEGER NOT NULL,
  docker_mount_dirs TEXT)"""


class Old(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.host = Host(None, work_dir() / "old-share", name="old-host", start=False,
                        timing={"cleanup_check_interval": 1}, retention={"tasks_days": 100, "logs_days": 50})
        cls.host.start()
        cls.addClassCleanup(cls.host.stop)
        cls.classic = work_dir() / "cluster_management.db"
        cls.ids = [(1795302000000 + n) << 22 for n in range(6)]
        database = sqlite3.connect(cls.classic)
        database.executescript(CLASSIC)
        rows = [("completed", "2026-11-21 21:42:19.196402", 0), ("failed", "2026-11-21 21:42:19", 3), ("running", "2026-11-21 21:42:19.5", None),
                ("completed", "2020-01-01 00:00:00", 0), ("garbled", "2026-11-21 21:42:19", 0), ("pending", "2026-11-21 21:42:19", None)]
        for task, (state, time, code) in zip(cls.ids, rows):
            done = time if code is not None else None
            database.execute("INSERT INTO task VALUES (?,'command',?,'echo','[\"hi\"]','[]',1,'[]',?,'node1',?,?,?,NULL,?,?,?,0,NULL,NULL,NULL,NULL,'env','hakuriver/env:base',0,'[]')",
                             (task, cls.ids[0], state, f"/mnt/x/task_outputs/{task}.out", f"/mnt/x/task_errors/{task}.err", code, time, time, done))
        database.commit()
        database.close()

    def test_the_history_of_a_classic_host(self):
        before = self.classic.read_bytes()
        done = self.host.cli("riverbox", "host", "import-classic", self.classic)
        self.assertEqual(done.code, 65, done)
        self.assertIn("Imported 4 tasks. Of them unfinished, and lost now: 2. Older than [retention] tasks_days keeps them: 1. Could not be read: 1.", done.out)
        self.assertIn(f"task {self.ids[4]}", done.err)
        self.assertIn("garbled", done.err)
        self.assertEqual(self.classic.read_bytes(), before)
        (self.host.share / "task_outputs").mkdir(exist_ok=True)
        (self.host.share / f"task_outputs/{self.ids[0]}.out").write_text("hi\n")
        task = self.host.status(str(self.ids[0]))
        self.assertEqual((task["status"], task["exit_code"], task["assigned_node"], task["submitted_at"], task["batch_id"]),
                         ("completed", 0, "node1", "2026-11-21T21:42:19.196402", str(self.ids[0])))
        self.assertEqual(self.host.client("logs", self.ids[0]).out, "hi\n")
        self.assertEqual(self.host.status(str(self.ids[2]))["status"], "lost")
        again = self.host.cli("riverbox", "host", "import-classic", self.classic)
        self.assertIn("Imported 0 tasks. There already: 4.", again.out)

    def test_then_old_tasks_and_their_output_go(self):
        self.host.cli("riverbox", "host", "import-classic", self.classic)  # also before the first start
        self.host.stop()
        old, young = (self.host.share / f"task_outputs/{task}.out" for task in self.ids[:2])
        for file in (old, young):
            file.parent.mkdir(exist_ok=True)
            file.write_text("something")
        database = sqlite3.connect(self.host.home / "state/host.db")
        database.execute("UPDATE tasks SET completed_at = '2020-01-01T00:00:00Z' WHERE id = ?", (self.ids[0],))
        database.commit()
        database.close()
        self.host.start()
        wait_until(lambda: self.host.http("GET", f"/status/{self.ids[0]}")[0] == 404, 15, "the old task to be removed")
        self.assertFalse(old.exists())
        self.assertTrue(young.exists())
        self.assertEqual(self.host.status(str(self.ids[1]))["status"], "failed")

    def test_what_cannot_be_imported(self):
        for file, word, code in ((work_dir() / "absent.db", "there is no file", 1), (self.host.config, "not a database", 65)):
            refused = self.host.cli("riverbox", "host", "import-classic", file)
            self.assertEqual(refused.code, code, refused)
            self.assertIn(word, refused.err)


if __name__ == "__main__":
    unittest.main()

#include <doctest/doctest.h>

#include "docker/naming.hpp"

using namespace riverbox;
using namespace riverbox::docker;

TEST_CASE("names follow the published conventions for either prefix") {
  const TaskId id(7199539478398935040ULL);
  Naming old("hakuriver"), kohaku("kohakuriver");
  CHECK(kohaku.task_container(id) == "kohakuriver-task-7199539478398935040");
  CHECK(kohaku.vps_container(TaskId(7)) == "kohakuriver-vps-7");
  CHECK(kohaku.environment_container("pytorch") == "kohakuriver-env-pytorch");
  CHECK(kohaku.environment_image("pytorch") == "kohakuriver/pytorch:base");
  CHECK(old.environment_image("pytorch", "7") == "hakuriver/pytorch:7");
  CHECK(kohaku.snapshot_image(TaskId(123), 1706000000) == "kohakuriver-snapshot/vps-123:1706000000");
  CHECK(old.container_dir() == "hakuriver-containers");
  CHECK(old.label("managed") == "hakuriver.managed");
}

TEST_CASE("labels say whose a container is") {
  Naming naming("hakuriver");
  auto labels = naming.task_labels(TaskId(12345), "command", "worker-01", 2, 9);
  CHECK(labels["hakuriver.managed"] == "true");
  CHECK(labels["hakuriver.task_id"] == "12345");
  CHECK(labels["hakuriver.task_type"] == "command");
  CHECK(labels["hakuriver.node"] == "worker-01");
  CHECK(labels["hakuriver.attempt"] == "2");
  CHECK(labels["hakuriver.epoch"] == "9");
  CHECK(naming.is_managed(labels));
  CHECK(naming.is_managed(naming.environment_labels("x")));
  CHECK_FALSE(Naming("kohakuriver").is_managed(labels));
  CHECK_FALSE(naming.is_managed({}));
  CHECK_FALSE(naming.is_managed({{"hakuriver.managed", "false"}}));
}

TEST_CASE("names are recognised, with the Engine's slash too, and nothing else is") {
  CHECK(is_kohakuriver_container("kohakuriver-task-7199539478398935040"));
  CHECK(is_kohakuriver_container("/kohakuriver-env-py"));
  CHECK(is_hakuriver_container("hakuriver-vps-1"));
  CHECK_FALSE(is_hakuriver_container("kohakuriver-vps-1"));
  CHECK_FALSE(is_kohakuriver_container("hakuriver-vps-1"));
  for (const char* other : {"", "/", "nginx", "hakuriver", "hakuriver-task-", "hakuriver-task-12x", "hakuriver-env-", "xhakuriver-task-1",
                            "hakuriver-tasks-1", "hakuriver-task-99999999999999999999"})
    CHECK_FALSE(is_hakuriver_container(other));
}

TEST_CASE("task IDs and environments are read back from names") {
  CHECK(extract_task_id_from_name("/hakuriver-task-7199539478398935040")->value() == 7199539478398935040ULL);
  CHECK(extract_task_id_from_name("kohakuriver-vps-5")->value() == 5);
  CHECK_FALSE(extract_task_id_from_name("kohakuriver-env-5"));
  CHECK_FALSE(extract_task_id_from_name("hakuriver-task--5"));
  CHECK(extract_environment_from_name("/hakuriver-env-my-env.1") == "my-env.1");
  CHECK(extract_environment_from_name("kohakuriver-env-a") == "a");
  CHECK_FALSE(extract_environment_from_name("hakuriver-task-5"));
}

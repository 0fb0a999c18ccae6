// The table. To find what answers a path, look here.
#include "api/handlers.hpp"

namespace riverbox::api {

const std::vector<Route>& routes() {
  static const std::vector<Route> table{
      // environments: containers on the host, archives on the share
      {"GET", "/docker/host/containers", Lane::docker, Access::token, list_containers},
      {"POST", "/docker/host/create", Lane::slow, Access::token, create_container},
      {"POST", "/docker/host/start/{name}", Lane::docker, Access::token, start_container},
      {"POST", "/docker/host/stop/{name}", Lane::docker, Access::token, stop_container},
      {"POST", "/docker/host/delete/{name}", Lane::docker, Access::token, delete_container},
      {"POST", "/docker/create_tar/{name}", Lane::slow, Access::token, create_tar},
      {"GET", "/docker/list", Lane::share, Access::token, list_archives},
      {"GET", "/docker/container/{name}", Lane::transfer, Access::token, download_archive},
      // versions of environments
      {"GET", "/docker/versions/{name}", Lane::share, Access::token, list_versions},
      {"GET", "/docker/versions/{name}/diff", Lane::slow, Access::token, diff_versions},
      {"POST", "/docker/versions/{name}/{version}/pin", Lane::share, Access::token, pin_version},
      {"POST", "/docker/versions/{name}/{version}/unpin", Lane::share, Access::token, unpin_version},
      {"POST", "/docker/versions/{name}/{version}/rollback", Lane::slow, Access::token, roll_back},
      {"POST", "/docker/sync/{name}", Lane::slow, Access::token, sync_version},
      {"POST", "/docker/delete_tar/{name}", Lane::share, Access::token, delete_tar},
      {"POST", "/docker/verify", Lane::slow, Access::token, verify_versions},
      {"POST", "/docker/verify/{name}", Lane::slow, Access::token, verify_versions},
      // the share as a registry (OCI distribution, pull)
      {"GET", "/v2/", Lane::state, Access::puller, registry_root},
      {"GET", "/v2/_catalog", Lane::share, Access::puller, registry_catalog},
      {"GET", "/v2/{name}/tags/list", Lane::share, Access::puller, registry_tags},
      {"GET", "/v2/{name}/manifests/{reference}", Lane::share, Access::puller, registry_manifest},
      {"GET", "/v2/{name}/blobs/{digest}", Lane::transfer, Access::puller, registry_blob},
      // nodes
      {"GET", "/nodes", Lane::state, Access::token, list_nodes, Answer::kept},
      {"GET", "/nodes/{name}", Lane::state, Access::token, show_node},
      {"POST", "/nodes/{name}/drain", Lane::state, Access::token, drain_node},
      {"POST", "/nodes/{name}/resume", Lane::state, Access::token, resume_node},
      {"POST", "/nodes/{name}/remove", Lane::state, Access::token, remove_node},
      {"GET", "/health", Lane::state, Access::token, health},
      // tasks
      {"POST", "/submit", Lane::share, Access::token, submit},
      {"POST", "/submit/batch", Lane::share, Access::token, submit_batch},
      {"GET", "/status/{id}", Lane::state, Access::token, task_status},
      {"GET", "/tasks/{id}/explain", Lane::state, Access::token, explain_task},
      {"POST", "/tasks/{id}/rerun", Lane::state, Access::token, rerun_task},
      {"GET", "/tasks", Lane::state, Access::token, list_tasks, Answer::kept},
      {"POST", "/kill/{id}", Lane::state, Access::token, kill_task},
      {"POST", "/command/{id}/{action}", Lane::state, Access::token, control_task},
      {"GET", "/task/{id}/stdout", Lane::state, Access::token, task_stdout},
      {"GET", "/task/{id}/stderr", Lane::state, Access::token, task_stderr},
      {"GET", "/tasks/{id}/stdout", Lane::state, Access::token, task_stdout},
      {"GET", "/tasks/{id}/stderr", Lane::state, Access::token, task_stderr},
      {"GET", "/tasks/{id}/events", Lane::state, Access::token, task_events},
      // the product itself
      {"GET", "/version", Lane::state, Access::open, version},
      {"GET", "/complete/{kind}", Lane::docker, Access::token, complete},
  };
  return table;
}

}  // namespace riverbox::api

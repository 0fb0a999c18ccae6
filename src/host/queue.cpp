#include "host/queue.hpp"

#include <algorithm>
#include <tuple>

namespace riverbox::host {

// ---- who waits

size_t Queue::shape_of(const Demand& demand) {
  if (const auto known = shape_numbers_.find(demand); known != shape_numbers_.end()) return known->second;
  size_t number = shapes_.size();
  if (free_shapes_.empty()) {
    shapes_.push_back({demand});
  } else {
    number = free_shapes_.back();
    free_shapes_.pop_back();
    shapes_[number] = {demand};
  }
  shape_numbers_.emplace(demand, number);
  return number;
}

void Queue::add(TaskId id, int priority, const Demand& demand, WallTime since) {
  const Key key{priority, id.value()};
  const size_t shape = shape_of(demand);
  ++shapes_[shape].waiting;
  order_.emplace(key, Waiting{shape, since});
  keys_.emplace(id.value(), key);
}

bool Queue::remove(TaskId id) {
  const auto key = keys_.find(id.value());
  if (key == keys_.end()) return false;
  const auto entry = order_.find(key->second);
  const size_t number = entry->second.shape;
  if (Shape& shape = shapes_[number]; --shape.waiting == 0) {
    shape_numbers_.erase(shape.demand);
    free_shapes_.push_back(number);
  }
  order_.erase(entry);
  keys_.erase(key);
  kept_.erase(id.value());
  return true;
}

// ---- who starts

// One walk through the queue.
class Queue::Pass {
public:
  Pass(std::vector<Machine>& machines, size_t shapes) : machines_(machines), kept_for_(machines.size(), nullptr), hopeless_(shapes, false) { measure(); }

  bool is_hopeless(size_t shape) const { return hopeless_[shape]; }
  void give_up(size_t shape) { hopeless_[shape] = true; }

  // The best of the nodes that can take it now: one that has the image, one whose GPUs nobody misses, the one with the most free cores.
  std::optional<Place> place(const Demand& demand) const {
    if (demand.cores > most_cores_ || demand.memory_bytes > most_memory_bytes_) return std::nullopt;
    std::optional<Place> best;
    std::tuple<bool, bool, int> best_rank;
    for (size_t i = 0; i < machines_.size(); ++i) {
      const Machine& machine = machines_[i];
      if (!fits(machine, demand) || (kept_for_[i] && !fits_beside(machine, demand, *kept_for_[i]))) continue;
      const bool has_image = !demand.image.empty() && machine.images.contains(demand.image);
      const bool spares_gpus = machine.gpus.empty() || demand.gpu_count > 0 || !demand.gpus.empty();
      const std::tuple rank{has_image, spares_gpus, machine.cores - machine.used.cores};
      if (best && rank <= best_rank) continue;
      best = Place{i, has_image};
      best_rank = rank;
    }
    return best;
  }

  Start start(TaskId id, const Demand& demand, const Place& place) {
    Machine& machine = machines_[place.machine];
    const char* why = !demand.node.empty() ? "It was asked for." : place.has_image ? "It has the environment already." : "It has the most free cores of those that can take it.";
    Start start{id, machine.name, gpus_for(machine, demand), why};
    machine.used.add({demand.cores, demand.memory_bytes, start.gpus});
    measure();
    return start;
  }

  // Keeps a node for a task that fits nowhere: the one it had before, else that where the least has to end. nullptr: no node could ever take it, or all are kept already.
  const Machine* keep(const Demand& demand, const std::string& before) {
    std::optional<size_t> best;
    for (size_t i = 0; i < machines_.size(); ++i) {
      const Machine& machine = machines_[i];
      if (kept_for_[i] || !machine.online || machine.draining || unfitness(machine, demand)) continue;
      if (machine.name == before) {
        best = i;
        break;
      }
      if (!best || machine.cores - machine.used.cores > machines_[*best].cores - machines_[*best].used.cores) best = i;
    }
    if (!best) return nullptr;
    kept_for_[*best] = &demand;
    return &machines_[*best];
  }

private:
  // What the emptiest node has: most demands that fit nowhere are seen by that alone.
  void measure() {
    most_cores_ = 0;
    most_memory_bytes_ = 0;
    for (const Machine& machine : machines_) {
      if (!machine.online || machine.draining) continue;
      most_cores_ = std::max(most_cores_, machine.cores - machine.used.cores);
      if (machine.memory_bytes > machine.used.memory_bytes) most_memory_bytes_ = std::max(most_memory_bytes_, machine.memory_bytes - machine.used.memory_bytes);
    }
  }

  std::vector<Machine>& machines_;
  std::vector<const Demand*> kept_for_;
  std::vector<bool> hopeless_;  // by shape: nothing more of it starts in this walk
  int most_cores_ = 0;
  std::uint64_t most_memory_bytes_ = 0;
};

std::vector<Queue::Start> Queue::pass(std::vector<Machine>& machines, WallTime now, size_t most) {
  Pass walk(machines, shapes_.size());
  std::vector<Start> starts;
  std::map<std::uint64_t, std::string> kept;
  for (const auto& [key, waiting] : order_) {
    if (starts.size() == most) break;
    if (walk.is_hopeless(waiting.shape)) continue;
    const Demand& demand = shapes_[waiting.shape].demand;
    const TaskId id(key.age);
    if (const auto place = walk.place(demand)) {
      starts.push_back(walk.start(id, demand, *place));
      continue;
    }
    walk.give_up(waiting.shape);
    if (now - waiting.since < patience_) continue;
    const auto before = kept_.find(key.age);
    if (const Machine* machine = walk.keep(demand, before == kept_.end() ? "" : before->second)) kept.emplace(key.age, machine->name);
  }
  kept_ = std::move(kept);
  for (const Start& start : starts) remove(start.id);
  return starts;
}

std::optional<Queue::Explanation> Queue::explain(TaskId id, const std::vector<Machine>& machines) const {
  const auto key = keys_.find(id.value());
  if (key == keys_.end()) return std::nullopt;
  const auto entry = order_.find(key->second);
  const Demand& demand = shapes_[entry->second.shape].demand;
  Explanation explanation;
  explanation.position = static_cast<size_t>(std::distance(order_.begin(), entry)) + 1;
  if (const auto kept = kept_.find(id.value()); kept != kept_.end()) explanation.kept = kept->second;
  for (const Machine& machine : machines) {
    if (!demand.node.empty() && machine.name != demand.node) continue;
    const auto why = refusal(machine, demand);
    explanation.refusals.emplace_back(machine.name, why ? *why : "It is kept for a task that has waited longer");
  }
  return explanation;
}

}  // namespace riverbox::host

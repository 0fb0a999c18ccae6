#include "host/queue.hpp"

#include <algorithm>
#include <string_view>
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

void Queue::add(TaskId id, int priority, const Demand& demand, Time since) {
  if (places_.contains(id.value())) return;
  const Key key{priority, id.value()};
  const size_t shape = shape_of(demand);
  places_.emplace(id.value(), Waiting{key, shape});
  shapes_[shape].waiting.emplace(key, since);
}

bool Queue::remove(TaskId id) {
  const auto place = places_.find(id.value());
  if (place == places_.end()) return false;
  const auto [key, number] = place->second;
  Shape& shape = shapes_[number];
  shape.waiting.erase(key);
  if (shape.waiting.empty()) {
    shape_numbers_.erase(shape.demand);
    free_shapes_.push_back(number);
  }
  places_.erase(place);
  kept_.erase(id.value());
  return true;
}

// ---- who starts

// One walk through the queue.
class Queue::Pass {
public:
  explicit Pass(std::vector<Machine>& machines) : machines_(machines), kept_for_(machines.size(), nullptr) {
    for (size_t i = 0; i < machines.size(); ++i) {
      rooms_.push_back(room_of(i));
      not_kept_.push_back(i);
      by_name_.emplace(machines[i].name, i);
    }
    measure();
  }

  // The best of the nodes that can take it now: one on which it has not failed, one that has the image, one whose GPUs nobody misses, the one with the most free cores.
  std::optional<Place> place(const Demand& demand) {
    if (std::none_of(largest_.begin(), largest_.end(), [&](const Largest& one) { return one.room.takes(demand); })) return std::nullopt;
    std::optional<Place> best;
    std::tuple<bool, bool, bool, int> best_rank;
    for (auto [i, end] = candidates(demand); i < end; ++i) {
      if (!rooms_[i].takes(demand)) continue;
      const Machine& machine = machines_[i];
      if (!fits(machine, demand) || (kept_for_[i] && !fits_beside(machine, demand, *kept_for_[i]))) continue;
      const bool has_image = !demand.image.empty() && machine.images.contains(demand.image);
      const bool spares_gpus = machine.gpus.empty() || demand.gpus_wanted() > 0;
      const std::tuple rank{machine.name != demand.rather_not, has_image, spares_gpus, machine.cores - machine.used.cores};
      if (best && rank <= best_rank) continue;
      best = Place{i, has_image};
      best_rank = rank;
    }
    if (!best && has_shrunk_) measure();
    return best;
  }

  Start start(TaskId id, const Demand& demand, const Place& place) {
    Machine& machine = machines_[place.machine];
    const char* why = !demand.node.empty() ? "It was asked for." : place.has_image ? "It has the environment already." : "It has the most free cores of those that can take it.";
    Start start{id, machine.name, gpus_for(machine, demand), why, cpus_for(machine, demand)};
    machine.used.add({demand.cores, demand.memory_bytes, start.gpus, demand.exclusive ? start.cpus : std::vector<int>{}});
    shrink(place.machine);
    return start;
  }

  // Keeps a node for a task that fits nowhere: the one it had before, else that where the least has to end. nullptr: no node could ever take it, or all are kept already.
  const Machine* keep(const Demand& demand, const std::string& before) {
    std::optional<size_t> best;
    if (const auto known = by_name_.find(before); known != by_name_.end() && may_keep(known->second, demand)) best = known->second;
    const auto consider = [&](size_t i) {
      if (may_keep(i, demand) && (!best || machines_[i].cores - machines_[i].used.cores > machines_[*best].cores - machines_[*best].used.cores)) best = i;
    };
    if (!best && demand.node.empty()) std::for_each(not_kept_.begin(), not_kept_.end(), consider);
    else if (const auto named = by_name_.find(demand.node); !best && named != by_name_.end()) consider(named->second);
    if (!best) return nullptr;
    kept_for_[*best] = &demand;
    std::erase(not_kept_, *best);
    shrink(*best);
    return &machines_[*best];
  }

private:
  // What is free on a node, in few bytes: most of what does not fit is seen by that alone.
  struct Room {
    int cores = -1;  // less than anybody wants
    std::uint64_t memory_bytes = 0;
    size_t gpus = 0;
    bool takes(const Demand& demand) const { return demand.cores <= cores && demand.memory_bytes <= memory_bytes && demand.gpus_wanted() <= gpus; }
    bool holds(const Room& other) const { return other.cores <= cores && other.memory_bytes <= memory_bytes && other.gpus <= gpus; }
  };
  // Beside what it is kept for.
  Room room_of(size_t i) const {
    const Machine& machine = machines_[i];
    if (!machine.online || machine.draining) return {};
    Room room{std::max(0, machine.cores - machine.used.cores), machine.memory_bytes - std::min(machine.used.memory_bytes, machine.memory_bytes), machine.free_gpu_count()};
    if (const Demand* other = kept_for_[i]) {
      const size_t any_gpus = other->gpus.empty() ? other->gpus_wanted() : 0;  // by index: it may be others that are free
      room = {std::max(0, room.cores - other->cores), room.memory_bytes - std::min(other->memory_bytes, room.memory_bytes), room.gpus - std::min(any_gpus, room.gpus)};
    }
    return room;
  }
  void shrink(size_t i) {
    rooms_[i] = room_of(i);
    has_shrunk_ = has_shrunk_ || std::any_of(largest_.begin(), largest_.end(), [i](const Largest& one) { return one.machine == i; });
  }
  // What none of these takes fits nowhere. They are few: all others have less of everything than one of them.
  struct Largest {
    Room room;
    size_t machine;
  };
  void measure() {
    largest_.clear();
    for (size_t i = 0; i < rooms_.size(); ++i) {
      const Room& room = rooms_[i];
      if (std::any_of(largest_.begin(), largest_.end(), [&](const Largest& other) { return other.room.holds(room); })) continue;
      std::erase_if(largest_, [&](const Largest& other) { return room.holds(other.room); });
      largest_.push_back({room, i});
    }
    has_shrunk_ = false;
  }
  // From, to: the node that is named, or all.
  std::pair<size_t, size_t> candidates(const Demand& demand) const {
    if (demand.node.empty()) return {0, machines_.size()};
    const auto named = by_name_.find(demand.node);
    return named == by_name_.end() ? std::pair<size_t, size_t>{0, 0} : std::pair{named->second, named->second + 1};
  }
  bool may_keep(size_t i, const Demand& demand) const {
    return !kept_for_[i] && machines_[i].online && !machines_[i].draining && suits(machines_[i], demand);
  }

  std::vector<Machine>& machines_;
  std::vector<Room> rooms_;
  std::unordered_map<std::string_view, size_t> by_name_;
  std::vector<const Demand*> kept_for_;
  std::vector<size_t> not_kept_;
  std::vector<Largest> largest_;
  bool has_shrunk_ = false;  // one of them, since they were measured
};

std::vector<Queue::Start> Queue::pass(std::vector<Machine>& machines, Time now, size_t most) {
  Pass walk(machines);
  std::vector<Start> starts;
  std::map<std::uint64_t, std::string> kept;
  // The first of each shape, in the order of the queue. When one starts, the next of its shape takes its turn; when it cannot, the others of its shape cannot either.
  struct Turn {
    Key key;  // of the first
    std::map<Key, Time>::const_iterator first, end;
    const Demand* demand;
    bool operator<(const Turn& other) const { return other.key < key; }  // a heap has the last one on top
  };
  std::vector<Turn> turns;
  for (const Shape& shape : shapes_)
    if (!shape.waiting.empty()) turns.push_back({shape.waiting.begin()->first, shape.waiting.begin(), shape.waiting.end(), &shape.demand});
  std::make_heap(turns.begin(), turns.end());
  while (!turns.empty() && starts.size() < most) {
    std::pop_heap(turns.begin(), turns.end());
    Turn& turn = turns.back();
    const auto& [key, since] = *turn.first;
    if (const auto place = walk.place(*turn.demand)) {
      starts.push_back(walk.start(TaskId(key.age), *turn.demand, *place));
      if (++turn.first != turn.end) {
        turn.key = turn.first->first;
        std::push_heap(turns.begin(), turns.end());
        continue;
      }
    } else if (now - since >= patience_) {
      const auto before = kept_.find(key.age);
      if (const Machine* machine = walk.keep(*turn.demand, before == kept_.end() ? "" : before->second)) kept.emplace(key.age, machine->name);
    }
    turns.pop_back();
  }
  kept_ = std::move(kept);
  for (const Start& start : starts) remove(start.id);
  return starts;
}

std::optional<Queue::Explanation> Queue::explain(TaskId id, const std::vector<Machine>& machines) const {
  const auto place = places_.find(id.value());
  if (place == places_.end()) return std::nullopt;
  const Demand& demand = shapes_[place->second.shape].demand;
  Explanation explanation;
  explanation.position = 1;
  for (const Shape& shape : shapes_)
    explanation.position += static_cast<size_t>(std::distance(shape.waiting.begin(), shape.waiting.lower_bound(place->second.key)));
  if (const auto kept = kept_.find(id.value()); kept != kept_.end()) explanation.kept = kept->second;
  for (const Machine& machine : machines) {
    if (!demand.node.empty() && machine.name != demand.node) continue;
    const auto why = refusal(machine, demand);
    explanation.refusals.emplace_back(machine.name, why ? *why : "It is kept for a task that has waited longer");
  }
  return explanation;
}

}  // namespace riverbox::host

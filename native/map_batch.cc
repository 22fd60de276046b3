#include "map_batch.h"

#include <bpf/bpf.h>
#include <errno.h>

#include <algorithm>
#include <string>
#include <unordered_set>

namespace podgate {
namespace {

constexpr int kKernelNotSupported = 524;  // ENOTSUPP, which userspace headers do not name
constexpr uint32_t kFirstChunk = 4096;

bool LacksBatch(int error) { return error == kKernelNotSupported || error == EOPNOTSUPP; }

// The kernel writes how many it did only once it has begun: an untouched count beside an error means none.
uint32_t DoneBefore(uint32_t asked, uint32_t told) { return told >= asked ? 0 : told; }

BatchResult PutOneByOne(const MapShape& map, const uint8_t* keys, const uint8_t* values, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    if (bpf_map_update_elem(map.fd, keys + i * map.key_size, values + i * map.value_size, BPF_ANY) != 0) {
      return {i, errno};
    }
  }
  return {count, 0};
}

BatchResult DeleteOneByOne(const MapShape& map, const uint8_t* keys, uint32_t count) {
  uint32_t deleted = 0;
  for (uint32_t i = 0; i < count; i++) {
    if (bpf_map_delete_elem(map.fd, keys + i * map.key_size) == 0) {
      deleted++;
    } else if (errno != ENOENT) {
      return {deleted, errno};
    }
  }
  return {deleted, 0};
}

// One entry into `entries`; an entry deleted meanwhile is not an error.
int ReadOne(const MapShape& map, const std::vector<uint8_t>& key, Entries* entries) {
  std::vector<uint8_t> value(map.value_size);
  if (bpf_map_lookup_elem(map.fd, key.data(), value.data()) != 0) return errno == ENOENT ? 0 : errno;
  entries->keys.insert(entries->keys.end(), key.begin(), key.end());
  entries->values.insert(entries->values.end(), value.begin(), value.end());
  entries->count++;
  return 0;
}

// BPF_MAP_GET_NEXT_KEY starts over when the key it continues from was deleted: keys seen before are skipped, and
// a map that is emptied faster than it is read ends in EAGAIN rather than never.
int ReadOneByOne(const MapShape& map, Entries* entries) {
  std::unordered_set<std::string> seen;
  std::vector<uint8_t> previous(map.key_size), key(map.key_size);
  const uint64_t limit = 4ull * map.max_entries + 16;
  for (uint64_t step = 0; step < limit; step++) {
    if (bpf_map_get_next_key(map.fd, step == 0 ? nullptr : previous.data(), key.data()) != 0) {
      return errno == ENOENT ? 0 : errno;
    }
    if (seen.emplace(key.begin(), key.end()).second) {
      int error = ReadOne(map, key, entries);
      if (error != 0) return error;
    }
    previous = key;
  }
  return EAGAIN;
}

}  // namespace

BatchResult PutAll(const MapShape& map, const uint8_t* keys, const uint8_t* values, uint32_t count) {
  if (count == 0) return {0, 0};
  uint32_t told = count;
  if (bpf_map_update_batch(map.fd, keys, values, &told, nullptr) == 0) return {count, 0};
  int error = errno;
  if (LacksBatch(error)) return PutOneByOne(map, keys, values, count);
  return {DoneBefore(count, told), error};
}

BatchResult DeleteAll(const MapShape& map, const uint8_t* keys, uint32_t count) {
  uint32_t deleted = 0;
  for (uint32_t next = 0; next < count;) {
    uint32_t told = count - next;
    const uint8_t* rest = keys + next * map.key_size;
    if (bpf_map_delete_batch(map.fd, rest, &told, nullptr) == 0) return {deleted + (count - next), 0};
    int error = errno;
    if (LacksBatch(error)) {
      BatchResult single = DeleteOneByOne(map, rest, count - next);
      return {deleted + single.done, single.error};
    }
    uint32_t done = DoneBefore(count - next, told);
    deleted += done;
    if (error != ENOENT) return {deleted, error};
    next += done + 1;  // step over the key that was not there
  }
  return {deleted, 0};
}

int ReadEntries(const MapShape& map, Entries* entries) {
  // The position is a bucket number for hash maps, a key for the others.
  std::vector<uint8_t> position(std::max<size_t>(map.key_size, sizeof(uint64_t)));
  uint32_t chunk = std::clamp(map.max_entries, 1u, kFirstChunk);
  for (bool first = true;;) {
    uint32_t count = chunk;
    entries->keys.resize((static_cast<size_t>(entries->count) + chunk) * map.key_size);
    entries->values.resize((static_cast<size_t>(entries->count) + chunk) * map.value_size);
    int error = 0;
    if (bpf_map_lookup_batch(map.fd, first ? nullptr : position.data(), position.data(),
                             entries->keys.data() + entries->count * map.key_size,
                             entries->values.data() + entries->count * map.value_size, &count, nullptr) != 0) {
      error = errno;
    }
    if (error == ENOSPC) {  // one bucket of the hash holds more than a chunk
      if (chunk > map.max_entries) return error;
      chunk *= 2;
      continue;
    }
    if (error != 0 && error != ENOENT) count = 0;
    entries->count += count;
    entries->keys.resize(entries->count * map.key_size);
    entries->values.resize(entries->count * map.value_size);
    if (first && LacksBatch(error)) return ReadOneByOne(map, entries);
    if (error == ENOENT) return 0;  // the end
    if (error != 0) return error;
    first = false;
  }
}

}  // namespace podgate

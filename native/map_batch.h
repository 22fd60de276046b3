// Many map entries in few system calls, with a way round for map types without batch operations. No JavaScript here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace podgate {

struct MapShape {
  int fd;
  size_t key_size;
  size_t value_size;  // as userspace sees it: of all CPUs in a per-CPU map
  uint32_t max_entries;
};

struct BatchResult {
  uint32_t done;  // entries written or deleted
  int error;      // 0, or the positive errno that stopped it
};

// Writes `count` entries; stops at the first that fails.
BatchResult PutAll(const MapShape& map, const uint8_t* keys, const uint8_t* values, uint32_t count);

// Deletes `count` keys; absent ones are skipped and not counted.
BatchResult DeleteAll(const MapShape& map, const uint8_t* keys, uint32_t count);

struct Entries {
  std::vector<uint8_t> keys;
  std::vector<uint8_t> values;
  uint32_t count = 0;
};

// Reads every entry. An entry put or deleted meanwhile may or may not be among them. Returns 0 or an errno.
int ReadEntries(const MapShape& map, Entries* entries);

}  // namespace podgate

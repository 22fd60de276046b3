// The cgroup that a socket's maker was in when it was made, which the kernel (5.9) shows and nothing changes.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <vector>

namespace podgate {

// Ids, as a directory's file handle has them.
using Cgroups = std::vector<uint64_t>;

// The kernel compares one after another, for each socket of the namespace.
constexpr size_t kMostCgroups = 1024;

// A netlink attribute by which the kernel leaves out, unlooked at, what was made elsewhere. At most kMostCgroups, at least
// one: a filter without any would let everything through.
std::vector<uint8_t> CgroupFilter(const Cgroups& cgroups);
// `attributes`: what came with a socket. False also where the kernel does not tell.
bool IsMadeIn(const Cgroups& cgroups, const uint8_t* attributes, size_t length);

}  // namespace podgate
